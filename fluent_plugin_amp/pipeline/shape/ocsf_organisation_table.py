# ruff: noqa: E501, a row is a line
"""How the records of an organisation read in OCSF: audit logs, computers, vulnerabilities, hunts; tables only.  Pure.

They are read like those of `ocsf_table`, which has the classes, the names and what an object requires.
"""

from __future__ import annotations

# Which field tells the record's type, and which what was done; the word that a table does not know is the name of the
# activity.  when: the field of the record's time, and the field of an event that is written in the same way; where there
# is none, it is the time at which the record was read.
RECORDS = """
# record         | type           | what was done | when
audit_logs       | audit_log_type | event         | created_at date
computers        |                | change        |
vulnerabilities  |                | change        | latest_timestamp timestamp
hunts            |                | priority      | hunted_at date
"""

# type, done: words of the fields above, * any.  The rest as in ocsf_table.KINDS, where action and
# disposition are 0 and there is no alert; severity: where no field tells one.
KINDS = """
# record         | type | done              | class | activity | status | severity
audit_logs       | User | login sso_login   | 3002  | 1        | 1      | 1
audit_logs       | User | logout sso_logout | 3002  | 2        | 1      | 1
audit_logs       | User | create            | 3001  | 1        | 1      | 1
audit_logs       | User | delete destroy    | 3001  | 6        | 1      | 1
audit_logs       | *    | create            | 3004  | 1        | 1      | 1
audit_logs       | *    | update            | 3004  | 3        | 1      | 1
audit_logs       | *    | delete destroy    | 3004  | 4        | 1      | 1
audit_logs       | *    | *                 | 3004  | 99       |        | 1
computers        | *    | appeared changed  | 5001  | 2        | 1      | 1
computers        | *    | gone              | 5001  | 99       | 1      | 1
computers        | *    | *                 | 5001  | 2        | 1      | 1
vulnerabilities  | *    | changed           | 2002  | 2        |        | 0
vulnerabilities  | *    | appeared          | 2002  | 1        | 1      | 0
vulnerabilities  | *    | *                 | 2002  | 1        | 1      | 0
hunts            | *    | high low          | 2004  | 1        | 1      | 0
hunts            | *    | *                 | 2004  | 1        | 1      | 0
"""

AUDIT_LOGS = """
# AMP field                | OCSF attribute                        | converter       | where
event                      | metadata.event_code                   | text            |
created_at                 | metadata.original_time                | text            |
message                    | message                               | text            |
audit_log_user             | {who}.name                            | text            |
audit_log_user             | {who}.email_addr                      | email + original |
item                       | {what}.name                           | text            |
audit_log_id               | {what}.uid                            | text            |
audit_log_type             | entity.type                           | text            | 1.1
audit_log_type             | entity.*                              | entity_type + original | 1.5+
old_attributes             | entity.data                           | an_object       |
new_attributes             | entity_result.data                    | an_object       |
= Cisco Secure Endpoint    | service.name                          |                 |
"""

COMPUTERS = """
# AMP field                    | OCSF attribute                        | converter       | where
organisation                   | device.org.name                       | text            |
change                         | message                               | text            |
computer.connector_guid        | device.uid                            | text            |
computer.hostname              | device.name                           | text            | 1.1
computer.hostname              | device.hostname                       | ascii_hostname  | 1.1
computer.hostname              | device.hostname                       | text            | 1.5+
computer.operating_system      | device.os.*                           | operating_system |
computer.os_version            | device.os.version                     | text            |
computer.network_addresses     | device.network_interfaces[+]          | interfaces      |
computer.internal_ips          | device.network_interfaces[+]          | addresses       |
computer.groups                | device.groups[+]                      | named_groups    |
computer.policy.guid           | device.agent_list[].policies[].uid    | text            | 1.5+
computer.policy.name           | device.agent_list[].policies[].name   | text            | 1.5+
computer.connector_version     | device.agent_list[].version           | text            | 1.5+
= Cisco Secure Endpoint        | device.agent_list[].name              |                 | 1.5+
= 1                            | device.agent_list[].type_id           |                 | 1.5+
= Endpoint Detection and Response| device.agent_list[].type       |                 | 1.5+
= 0                            | device.type_id                        |                 |
= Unknown                      | device.type                           |                 |
computer.install_date          | device.first_seen_time                | date + original |
computer.last_seen             | device.last_seen_time                 | date + original |
computer.risk_score            | device.risk_score                     | integer         |
computer.group_guid            |                                       |                 |
computer.external_ip           |                                       |                 |
computer.active                |                                       |                 |
computer.is_compromised        |                                       |                 |
computer.demo                  |                                       |                 |
computer.faults                |                                       |                 |
computer.isolation             |                                       |                 |
computer.orbital               |                                       |                 |
computer.links                 |                                       |                 |
computer.windows_processor_id  |                                       |                 |
computer.mac_hardware_id       |                                       |                 |
computer.av_update_definitions |                                       |                 |
changed                        |                                       |                 |
"""

VULNERABILITIES = """
# AMP field                | OCSF attribute                        | converter       | where
organisation               |                                       |                 |
change                     | message                               | text            |
changed                    |                                       |                 |
part                       |                                       |                 |
parts                      |                                       |                 |
latest_date                | metadata.original_time                | text            |
latest_timestamp           | finding_info.last_seen_time           | milliseconds    |
application                | finding_info.title                    | text            |
application                | vulnerabilities[+].affected_packages[].name    | text   |
version                    | vulnerabilities[+].affected_packages[].version | text   |
file.identity.sha256       | finding_info.uid                      | lower_hash_256  |
file.identity.sha256       | vulnerabilities[+].affected_packages[].hash    | sha256 | 1.5+
cves                       | vulnerabilities[+]                    | scored_cves     |
cves                       | *                                     | worst_score + original |
computers                  | resources[+]                          | resources       | 1.5+
file.filename              |                                       |                 |
groups                     |                                       |                 |
computers_total_count      |                                       |                 |
"""

# A finding about the file; its device is the computer whose event asked, its resources are those that were silent.
HUNTS = """
# AMP field                | OCSF attribute                        | converter       | where
organisation               |                                       |                 |
hunt_id                    | finding_info.uid                      | text            |
= Hunt for a file          | finding_info.title                    |                 |
priority                   | *                                     | severity        |
asked_at                   |                                       |                 |
hunted_at                  | finding_info.created_time             | date + original |
links.file_trajectory      | finding_info.src_url                  | text            |
file.file_name             | {file}.name                           | text            |
file.identity.sha256       | {file}.hashes[+]                      | sha256          |
= 1                        | {file}.type_id                        |                 |
= Regular File             | {file}.type                           |                 |
file.disposition           |                                       |                 |
event.id                   | finding_info.related_events[+]        | related_event   |
event.event_type           | finding_info.types[+]                 | text            |
event.detection            | malware[].name                        | text            |
event.detection            | malware[].*                           | malware_classes |
event.stream               |                                       |                 |
event.event_type_id        |                                       |                 |
event.date                 |                                       |                 |
computer.connector_guid    | device.uid                            | text            |
computer.hostname          | device.name                           | text            | 1.1
computer.hostname          | device.hostname                       | ascii_hostname  | 1.1
computer.hostname          | device.hostname                       | text            | 1.5+
= 0                        | device.type_id                        |                 |
= Unknown                  | device.type                           |                 |
computers                  | resources[+]                          | resources       | 1.5+
computers_seen             |                                       |                 |
computers_silent           |                                       |                 |
is_complete                |                                       |                 |
limits                     |                                       |                 |
"""

FIELDS = {
    "audit_logs": AUDIT_LOGS,
    "computers": COMPUTERS,
    "vulnerabilities": VULNERABILITIES,
    "hunts": HUNTS,
}

# As ocsf_table.DEFAULTS.
DEFAULTS = """
# OCSF attribute              | from
entity_result.name            | entity.name
entity_result.uid             | entity.uid
entity_result.type            | entity.type
entity_result.type_id         | entity.type_id
device.ip                     | device.network_interfaces[].ip
finding_info.uid              | = unknown
finding_info.title            | = Vulnerable application
{file}.name                   | {file}.hashes[].value
vulnerabilities[+].affected_packages[].version | = Unknown
"""
