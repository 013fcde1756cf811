"""How the records of an organisation read in ECS: audit logs, computers and vulnerabilities; tables only.  Pure.

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
vulnerabilities  | *    | *                 | state      | vulnerability  | info          |
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
# AMP field                | ECS field                     | converter        | kept as
change                     | event.action                  | text             |
connector_guid             | host.id                       | text             | scalar
hostname                   | host.hostname                 | text             |
operating_system           | host.os.*                     | ecs_system       |
os_version                 | host.os.version               | text             |
network_addresses          | host.ip[+]                    | interface_ips    | objects
network_addresses          | host.mac[+]                   | interface_macs   | objects
internal_ips               | host.ip[+]                    | ips              |
external_ip                | related.ip[+]                 | ip               | ip
group_guid                 | group.id                      | text             |
groups                     |                               |                  | objects
connector_version          |                               |                  | scalar
install_date               |                               |                  | scalar
last_seen                  |                               |                  | scalar
active                     |                               |                  | boolean
is_compromised             |                               |                  | boolean
demo                       |                               |                  | boolean
risk_score                 |                               |                  | long
policy.guid                |                               |                  | scalar
policy.name                |                               |                  | scalar
isolation                  |                               |                  | an_object
orbital                    |                               |                  | an_object
links                      |                               |                  | an_object
av_update_definitions      |                               |                  | an_object
windows_processor_id       |                               |                  | scalar
mac_hardware_id            |                               |                  | scalar
faults                     |                               |                  |
changed                    |                               |                  |
"""

VULNERABILITIES = """
# AMP field                | ECS field                     | converter        | kept as
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

FIELDS = {"audit_logs": AUDIT_LOGS, "computers": COMPUTERS, "vulnerabilities": VULNERABILITIES}
DATASETS = {"audit_logs": "audit_log", "computers": "computer", "vulnerabilities": "vulnerability"}
"""The end of ``event.dataset``."""
