# ruff: noqa: E501, a row is a line
"""How Cisco's events read in ECS, the Elastic Common Schema: tables only.  Pure.

To correct the mapping, change a row; `ecs.py` follows the tables, and tests hold them against the types of the fields.
A row is a line, its columns are parted by ``|``; an empty column says that there is nothing.
"""

from __future__ import annotations

VERSION = "8.11.0"

OWN = "cisco.secure_endpoint"
"""Where everything else is, under the names of Elastic's package for Cisco Secure Endpoint, so that its dashboards work."""

# kind: as ocsf_table.KINDS names it, which lists the event types; or the status of a detection, or "incident".
KINDS = """
# kind                    | event.kind | event.category               | event.type          | event.outcome
detected                  | alert      | malware file                 | info                |
seen on the network       | alert      | network intrusion_detection  | info                |
compromise                | alert      | intrusion_detection          | info                |
blocked                   | alert      | malware intrusion_detection  | denied              | success
detected in an exclusion  | alert      | malware intrusion_detection  | allowed             |
quarantined               | alert      | malware file                 | change              | success
quarantine failed         | alert      | malware file                 | change              | failure
false positive recalled   | event      | malware file                 | info                | success
vulnerable application    | alert      | vulnerability                | info                |
restored                  | event      | file                         | creation            | success
restore started           | event      | file                         | creation            | unknown
restore requested         | event      | file                         | creation            | unknown
restore failed            | event      | file                         | creation            | failure
deleted                   | event      | file                         | deletion            | success
delete started            | event      | file                         | deletion            | unknown
delete failed             | event      | file                         | deletion            | failure
quarantine not delivered  | alert      | malware file                 | change              | failure
file fetched              | event      | file                         | access              | success
upload started            | event      | file                         | access              | unknown
file fetch failed         | event      | file                         | access              | failure
isolated                  | event      | host                         | change              | success
isolation stopped         | event      | host                         | change              | success
isolation updated         | event      | host                         | change              | success
isolation unlock limit    | event      | host                         | change              | failure
isolation failed          | event      | host                         | change              | failure
isolation stop failed     | event      | host                         | change              | failure
isolation update failed   | event      | host                         | change              | failure
scan started              | event      | host                         | info                | unknown
scan completed            | event      | host                         | info                | success
scan failed               | event      | host                         | info                | failure
scan summary              | event      | host                         | info                |
update available          | event      | package                      | info                |
update started            | event      | package                      | change              | unknown
updated                   | event      | package                      | change              | success
update failed             | event      | package                      | change              | failure
install started           | event      | package                      | installation        | unknown
installed                 | event      | package                      | installation        | success
install failed            | event      | package                      | installation        | failure
uninstalled               | event      | package                      | deletion            | success
uninstall failed          | event      | package                      | deletion            | failure
configured                | event      | configuration                | change              | success
policy update failed      | event      | configuration                | change              | failure
schedule not saved        | event      | configuration                | change              | failure
minor fault               | event      | host                         | info                |
major fault               | event      | host                         | info                |
critical fault            | event      | host                         | info                |
fault cleared             | event      | host                         | info                | success
reboot pending            | event      | host                         | info                |
reboot completed          | event      | host                         | start               | success
unexpected reboot         | event      | host                         | info                | failure
computer registered       | event      | host                         | info                | success
account and application   | event      | iam                          | info                |
report or nameless        | event      |                              |                     |
quarantine_failed         | alert      | malware file                 | change              | failure
incident                  | alert      | intrusion_detection          | info                |
unknown                   | event      |                              |                     |
"""

# AMP field: what Cisco calls it; "= value": a constant, set where the object has anything else.
# ECS field: a name before [+] is a list that gets what the converter makes; * the object itself.
# converter: a function of convert.py or convert_lists.py.
# kept as: the value is under its own name in cisco.secure_endpoint too, in a field of this type, whatever ECS made of
# it; what does not fit the type is in cisco.secure_endpoint.unmapped.
# {process}: process.parent where the event tells a command line, which is that of its file's process; else process.
FIELDS = """
# AMP field                              | ECS field                     | converter        | kept as
id                                       | event.id                      | id_text          |
event_type_id                            | event.code                    | id_text          | long
event_type                               | event.action                  | text             |
detection_id                             |                               |                  | scalar
detection                                | rule.name                     | text             | scalar
date                                     |                               |                  | scalar
timestamp                                | @timestamp                    | seconds          |
timestamp_nanoseconds                    |                               |                  | any_nanoseconds
start_timestamp                          | event.start                   | iso_seconds      |
start_date                               |                               |                  | scalar
severity                                 | event.severity                | ecs_severity     | scalar
connector_guid                           | host.id                       | text             | scalar
group_guids                              | group.id[+]                   | texts            | scalars
hostname                                 | host.hostname                 | text             |
computer.hostname                        | host.hostname                 | text             |
computer.connector_guid                  | host.id                       | text             | scalar
computer.external_ip                     | related.ip[+]                 | ip               | ip
computer.active                          |                               |                  | boolean
computer.network_addresses               | host.ip[+]                    | interface_ips    | objects
computer.network_addresses               | host.mac[+]                   | interface_macs   | objects
computer.internal_ips                    | host.ip[+]                    | ips              |
computer.user                            | user.*                        | user             |
computer.operating_system                | host.os.*                     | ecs_system       |
console_links.device_trajectory_event    | event.url                     | text             |
file.file_name                           | file.name                     | text             |
file.file_path                           | file.path                     | path + original  |
file.identity.sha256                     | file.hash.sha256              | lower_hash_256   |
file.identity.sha1                       | file.hash.sha1                | lower_hash_1     |
file.identity.md5                        | file.hash.md5                 | lower_hash_5     |
file.disposition                         |                               |                  | scalar
file.attack_details.application          |                               |                  | scalar
file.attack_details.attacked_module      |                               |                  | scalar
file.attack_details.base_address         |                               |                  | scalar
file.attack_details.suspicious_files     |                               |                  | scalars
file.parent.process_id                   | {process}.pid                 | long             |
file.parent.file_name                    | {process}.name                | text             |
file.parent.identity.sha256              | {process}.hash.sha256         | lower_hash_256   |
file.parent.identity.sha1                | {process}.hash.sha1           | lower_hash_1     |
file.parent.identity.md5                 | {process}.hash.md5            | lower_hash_5     |
file.parent.disposition                  |                               |                  | scalar
command_line.arguments                   | process.command_line          | text             | scalar
network_info.local_ip                    | source.ip                     | ip               |
network_info.local_port                  | source.port                   | port             |
network_info.remote_ip                   | destination.ip                | ip               |
network_info.remote_port                 | destination.port              | port             |
network_info.dirty_url                   | url.original                  | text             |
network_info.nfm.protocol                | network.transport             | lower_text       |
network_info.nfm.direction               | network.direction             | ecs_direction    | scalar
network_info.disposition                 |                               |                  | scalar
network_info.parent.process_id           | process.pid                   | long             |
network_info.parent.file_name            | process.name                  | text             |
network_info.parent.identity.sha256      | process.hash.sha256           | lower_hash_256   |
network_info.parent.identity.sha1        | process.hash.sha1             | lower_hash_1     |
network_info.parent.identity.md5         | process.hash.md5              | lower_hash_5     |
network_info.parent.disposition          |                               |                  | scalar
cloud_ioc.short_description              | rule.name                     | text             | scalar
cloud_ioc.description                    | rule.description              | text             | scalar
tactics                                  | threat.tactic.*               | tactic_arrays    | objects
techniques                               | threat.technique.*            | technique_arrays | objects
= MITRE ATT&CK                           | threat.framework              |                  |
threat_hunting.tactics                   | threat.tactic.*               | tactic_arrays    | objects
threat_hunting.techniques                | threat.technique.*            | technique_arrays | objects
threat_hunting.incident_title            | rule.name                     | text             | scalar
threat_hunting.incident_summary          | rule.description              | text             | scalar
threat_hunting.incident_remediation      |                               |                  | scalar
threat_hunting.incident_report_guid      |                               |                  | scalar
threat_hunting.incident_hunt_guid        |                               |                  | scalar
threat_hunting.incident_id               |                               |                  | long
threat_hunting.incident_start_time       |                               |                  | seconds
threat_hunting.incident_end_time         |                               |                  | seconds
threat_hunting.severity                  |                               |                  | scalar
vulnerabilities                          | vulnerability.id[+]           | cves             | objects
vulnerabilities                          | vulnerability.reference[+]    | cve_urls         | objects
error.error_code                         | error.code                    | id_text          | long
error.description                        | error.message                 | text             | scalar
isolation.error_code                     | error.code                    | id_text          |
isolation.duration                       |                               |                  |
isolation.available                      |                               |                  |
isolation.status                         |                               |                  |
scan.description                         |                               |                  | scalar
scan.clean                               |                               |                  | boolean
scan.scanned_files                       |                               |                  | long
scan.scanned_processes                   |                               |                  | long
scan.scanned_paths                       |                               |                  | long
scan.malicious_detections                |                               |                  | long
bp_data                                  |                               |                  | objects
computer.links.computer                  |                               |                  |
computer.links.trajectory                |                               |                  |
computer.links.group                     |                               |                  |
computer.is_compromised                  |                               |                  |
computer.risk_score                      |                               |                  |
computer.policy.guid                     |                               |                  |
computer.policy.name                     |                               |                  |
computer.isolation.available             |                               |                  |
computer.isolation.status                |                               |                  |
first_seen                               | event.start                   | moment_text      |
last_seen                                | event.end                     | moment_text      |
incident_id                              | event.id                      | text             |
stream                                   |                               |                  | scalar
event_ids                                |                               |                  | scalars
event_types                              |                               |                  | scalars
revision                                 |                               |                  | long
status                                   |                               |                  | scalar
count                                    |                               |                  | long
by                                       |                               |                  | scalar
key                                      |                               |                  | scalar
computers                                |                               |                  | scalars
sha256s                                  |                               |                  | scalars
ips                                      |                               |                  | scalars
detections                               |                               |                  | scalars
"""

# In an event with a command line, its file is the process.
DEFAULTS_OF_PROCESS = """
process.name  | file.name
process.hash  | file.hash
"""

# What searches go by: lists of everything in an event that is an address, a hash, and so on.
RELATED = """
related.ip        | related.ip[+] host.ip[+] source.ip destination.ip
related.hash      | file.hash.* process.hash.* process.parent.hash.*
related.user      | user.name
related.hosts     | host.hostname related.hosts[+]
"""

# The same, in Elastic's package.
OWN_RELATED = """
related.mac       | host.mac[+]
related.cve       | vulnerability.id[+]
"""
