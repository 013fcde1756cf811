"""How the records of an organisation read in ECS: audit logs, computers, vulnerabilities, hunts; tables only.  Pure.

They are read like those of `ecs_table`; `ocsf_organisation_table.RECORDS` says which fields tell *type* and *done*.
"""

from __future__ import annotations

KINDS = """
# record         | type | done              | event.kind | event.category | event.type    | event.outcome
audit_logs       | User | login sso_login   | event      | authentication | start         | success
audit_logs       | User | logout sso_logout | event      | authentication | end           | success
audit_logs       | User | create            | event      | iam            | user creation | success
audit_logs       | User | delete destroy    | event      | iam            | user deletion | success
audit_logs       | User | *                 | event      | iam            | user change   |
audit_logs       | *    | create            | event      | configuration  | creation      | success
audit_logs       | *    | update            | event      | configuration  | change        | success
audit_logs       | *    | delete destroy    | event      | configuration  | deletion      | success
audit_logs       | *    | *                 | event      | configuration  | info          |
computers        | *    | changed           | asset      | host           | change        |
computers        | *    | appeared gone     | asset      | host           | info          |
computers        | *    | *                 | asset      | host           | info          |
vulnerabilities  | *    | appeared changed  | state      | vulnerability  | info          |
vulnerabilities  | *    | *                 | state      | vulnerability  | info          |
hunts            | *    | high              | alert      | malware file   | info          |
hunts            | *    | low               | event      | malware file   | info          |
hunts            | *    | *                 | event      | malware file   | info          |
"""

# As ecs_table.FIELDS.  Attributes of before and after have any names and types: map them as flattened.
AUDIT_LOGS = """
# AMP field                | ECS field                     | converter        | kept as
event                      | event.action                  | text             |
message                    | message                       | text             |
audit_log_user             | user.name                     | text             |
audit_log_user             | user.email                    | email            |
audit_log_type             |                               |                  | scalar
audit_log_id               |                               |                  | scalar
item                       |                               |                  | scalar
created_at                 |                               |                  | scalar
old_attributes             |                               |                  | an_object
new_attributes             |                               |                  | an_object
"""

COMPUTERS = """
# AMP field                    | ECS field                     | converter        | kept as
organisation                   | organization.name             | text             |
change                         | event.action                  | text             |
computer.connector_guid        | host.id                       | text             | scalar
computer.hostname              | host.hostname                 | text             |
computer.operating_system      | host.os.*                     | ecs_system       |
computer.os_version            | host.os.version               | text             |
computer.network_addresses     | host.ip[+]                    | interface_ips    | objects
computer.network_addresses     | host.mac[+]                   | interface_macs   | objects
computer.internal_ips          | host.ip[+]                    | ips              |
computer.external_ip           | related.ip[+]                 | ip               | ip
computer.group_guid            | group.id                      | text             |
computer.groups                |                               |                  | objects
computer.connector_version     |                               |                  | scalar
computer.install_date          |                               |                  | scalar
computer.last_seen             |                               |                  | scalar
computer.active                |                               |                  | boolean
computer.is_compromised        |                               |                  | boolean
computer.demo                  |                               |                  | boolean
computer.risk_score            |                               |                  | long
computer.policy.guid           |                               |                  | scalar
computer.policy.name           |                               |                  | scalar
computer.isolation             |                               |                  | an_object
computer.orbital               |                               |                  | an_object
computer.links                 |                               |                  | an_object
computer.av_update_definitions |                               |                  | an_object
computer.windows_processor_id  |                               |                  | scalar
computer.mac_hardware_id       |                               |                  | scalar
computer.faults                |                               |                  |
changed                        |                               |                  | scalars
"""

VULNERABILITIES = """
# AMP field                | ECS field                     | converter        | kept as
organisation               | organization.name             | text             |
change                     | event.action                  | text             |
changed                    |                               |                  | scalars
part                       |                               |                  | long
parts                      |                               |                  | long
application                | package.name                  | text             |
version                    | package.version               | text             |
file.filename              | file.name                     | text             |
file.identity.sha256       | file.hash.sha256              | lower_hash_256   |
cves                       | vulnerability.id[+]           | cve_ids          | objects
cves                       | vulnerability.reference[+]    | cve_links        | objects
cves                       | vulnerability.score.base      | highest_score + original | objects
cves                       | event.severity                | ecs_worst_score + original | objects
= CVE                      | vulnerability.enumeration     |                  |
computers                  | related.hosts[+]              | hostnames        | objects
computers_total_count      |                               |                  | long
groups                     |                               |                  | objects
latest_timestamp           |                               |                  | seconds
latest_date                |                               |                  | scalar
"""

HUNTS = """
# AMP field                | ECS field                     | converter        | kept as
organisation               | organization.name             | text             |
hunt_id                    | event.id                      | text             |
= hunt                     | event.action                  |                  |
priority                   | event.severity                | ecs_severity     | scalar
asked_at                   |                               |                  | scalar
hunted_at                  |                               |                  | scalar
links.file_trajectory      | event.url                     | text             |
file.file_name             | file.name                     | text             |
file.identity.sha256       | file.hash.sha256              | lower_hash_256   |
file.disposition           |                               |                  | scalar
event.id                   |                               |                  | long
event.event_type           |                               |                  | scalar
event.event_type_id        |                               |                  | long
event.detection            | rule.name                     | text             | scalar
event.stream               |                               |                  | scalar
event.date                 |                               |                  | scalar
computer.connector_guid    | host.id                       | text             | scalar
computer.hostname          | host.hostname                 | text             |
computers                  | related.hosts[+]              | hostnames        | objects
computers_seen             |                               |                  | long
computers_silent           |                               |                  | long
is_complete                |                               |                  | boolean
limits                     |                               |                  | scalars
"""

FIELDS = {
    "audit_logs": AUDIT_LOGS,
    "computers": COMPUTERS,
    "vulnerabilities": VULNERABILITIES,
    "hunts": HUNTS,
}
DATASETS = {
    "audit_logs": "audit_log",
    "computers": "computer",
    "vulnerabilities": "vulnerability",
    "hunts": "hunt",
}
"""The end of ``event.dataset``."""
