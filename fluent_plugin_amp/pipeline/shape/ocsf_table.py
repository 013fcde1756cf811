# ruff: noqa: E501, a row is a line
"""How Cisco's events read in OCSF, the Open Cybersecurity Schema Framework: tables only.  Pure.

To correct the mapping, change a row; `ocsf.py` follows the tables, and tests hold them against the schema itself.
A row is a line, its columns are parted by ``|``; an empty column says that there is nothing.
"""

from __future__ import annotations

VERSIONS = ("1.1.0", "1.5.0", "1.6.0", "1.8.0")
"""The versions of OCSF that can be asked for; the tables write 1.1 for the first, and 1.5+ for the others."""

# class: its number; category; name; profiles: those that lend it attributes which the tables below use; always: objects
# that are made for every event of the class; required: what an event of the class must have, or else the class that
# takes its place.
CLASSES = """
# class | category               | name                       | profiles              | always       | required
0       | 0 Uncategorized        | Base Event                 | host/1.5+             |              |
2002    | 2 Findings             | Vulnerability Finding      | host                  | finding_info | vulnerabilities or 2004
2004    | 2 Findings             | Detection Finding          | host security_control | finding_info |
3001    | 3 Identity & Access Management | Account Change     |                       |              | user or 3004
3002    | 3 Identity & Access Management | Authentication     |                       | service      | user or 3004
3004    | 3 Identity & Access Management | Entity Management  | host/1.1              |              | entity or 0
5001    | 5 Discovery            | Device Inventory Info      |                       |              | device or 0
5019    | 5 Discovery            | Device Config State Change |                       |              | device or 0
6002    | 6 Application Activity | Application Lifecycle      | host                  | app          |
6007    | 6 Application Activity | Scan Activity              | host                  | scan         |
7001    | 7 Remediation          | Remediation Activity       | host security_control |              |
7002    | 7 Remediation          | File Remediation Activity  | host security_control |              | file or 7001
"""

# status: what became of it; where it is 99, the words that say so.  action, disposition: of a security control
# (where the class has that profile, or the class that takes its place).  alert: whether somebody should look.
# severity: where Cisco sends none.  states: of the computer's security, + it is in this state now, - it was before.
# event types: Cisco's ids.
KINDS = """
# kind                    | class | activity | status       | action | disposition | alert | severity | states | event types
detected                  | 2004  | 1        | 1            | 3      | 15          | yes   | 0        |    | 1090519054 1090519081 1090519105 1090524040 1090524041 553648147 553648222
seen on the network       | 2004  | 1        | 1            | 3      | 15          | yes   | 0        |    | 1090519084 1090519102
compromise                | 2004  | 1        | 1            | 3      | 15          | yes   | 0        |    | 1107296257 1107296258 1107296260-1107296278 1107296280-1107296285 1107296344
blocked                   | 2004  | 1        | 1            | 2      | 2           | yes   | 0        |    | 553648168 553648199 1090519103 1090519112
detected in an exclusion  | 2004  | 1        | 1            | 1      | 16          | no    | 0        |    | 553648145
quarantined               | 2004  | 2        |              | 2      | 3           | no    | 0        |    | 553648143 553648155
quarantine failed         | 2004  | 2        |              | 3      | 13          | yes   | 0        |    | 2164260880 2164260893
false positive recalled   | 2004  | 3        | 4            | 1      | 10          | no    | 0        |    | 553648146
vulnerable application    | 2002  | 1        | 1            | 3      | 15          | yes   | 0        |    | 1107296279
restored                  | 7002  | 3        | 1            | 4      | 9           | no    | 1        |    | 553648149 553648154
restore started           | 7002  | 3        | 99 Started   | 0      | 0           | no    | 1        |    | 553648150
restore requested         | 7002  | 3        | 99 Requested | 0      | 0           | no    | 1        |    | 570425394
restore failed            | 7002  | 3        | 2            | 0      | 27          | no    | 1        |    | 2164260884 2164260892
deleted                   | 7002  | 2        | 1            | 2      | 5           | no    | 1        |    | 553648152
delete started            | 7002  | 2        | 99 Started   | 0      | 0           | no    | 1        |    | 553648151
delete failed             | 7002  | 2        | 2            | 0      | 27          | no    | 1        |    | 2164260889
quarantine not delivered  | 7002  | 1        | 2            | 3      | 13          | yes   | 1        |    | 2181038130
file fetched              | 7002  | 5        | 1            | 3      | 17          | no    | 1        |    | 553648161 553648173
upload started            | 7002  | 5        | 99 Started   | 0      | 0           | no    | 1        |    | 553648160
file fetch failed         | 7002  | 5        | 2            | 0      | 27          | no    | 1        |    | 2164260898 2164260910
isolated                  | 7001  | 1        | 1            | 2      | 4           | no    | 1        | +3 | 553648202
isolation stopped         | 7001  | 3        | 1            | 1      | 1           | no    | 1        | -3 | 553648204
isolation updated         | 7001  | 99       | 1            | 0      | 0           | no    | 1        |    | 553648206
isolation unlock limit    | 7001  | 99       | 2            | 0      | 27          | no    | 1        |    | 553648215
isolation failed          | 7001  | 1        | 2            | 0      | 27          | no    | 1        |    | 2164260939
isolation stop failed     | 7001  | 3        | 2            | 0      | 27          | no    | 1        |    | 2164260941
isolation update failed   | 7001  | 99       | 2            | 0      | 27          | no    | 1        |    | 2164260943
scan started              | 6007  | 1        | 1            |        |             |       | 1        |    | 554696714 554696756
scan completed            | 6007  | 2        | 1            |        |             |       | 1        |    | 554696715 554696757 1091567628 1091567670
scan failed               | 6007  | 6        | 2            |        |             |       | 1        |    | 2165309453 2165309495
scan summary              | 6007  | 99       | 1            |        |             |       | 1        |    | 1090519089
update available          | 6002  | 8        | 99 Available |        |             |       | 1        |    | 553648134
update started            | 6002  | 8        | 99 Started   |        |             |       | 1        |    | 553648131 553648135
updated                   | 6002  | 8        | 1            |        |             |       | 1        |    | 553648133 553648136 553648176 553648179 553648210
update failed             | 6002  | 8        | 2            |        |             |       | 1        |    | 553648137 2164260868 2164260911 2164260914 2164260947
install started           | 6002  | 1        | 99 Started   |        |             |       | 1        |    | 553648158
installed                 | 6002  | 1        | 1            |        |             |       | 1        |    | 553648208
install failed            | 6002  | 1        | 2            |        |             |       | 1        |    | 2164260895 2164260945
uninstalled               | 6002  | 2        | 1            |        |             |       | 1        |    | 553648166
uninstall failed          | 6002  | 2        | 2            |        |             |       | 1        |    | 2164260903
configured                | 5019  | 1        | 1            |        |             |       | 1        |    | 553648130 553648163 553648164
policy update failed      | 5019  | 1        | 2            |        |             |       | 1        | +2 | 2164260866
schedule not saved        | 5019  | 1        | 2            |        |             |       | 1        |    | 2164260901
minor fault               | 5019  | 1        |              |        |             |       | 2        | +5 | 553648195
major fault               | 5019  | 1        |              |        |             |       | 4        | +5 | 1090519107
critical fault            | 5019  | 1        |              |        |             |       | 5        | +5 | 2164260931
fault cleared             | 5019  | 1        | 1            |        |             |       | 1        | -5 | 553648196 553648197
reboot pending            | 5019  | 1        | 1            |        |             |       | 1        | +9 | 553648170 1090519096 1090519097
reboot completed          | 5019  | 1        | 1            |        |             |       | 1        | -9 | 553648171
unexpected reboot         | 5019  | 1        | 2            |        |             |       | 1        | +9 | 2164260922
computer registered       | 5001  | 1        | 1            |        |             |       | 1        |    | 50331649 570425395
account and application   | 0     | 99       |              |        |             |       | 1        |    | 1003 1004 1005 570425396-570425399
report or nameless        | 0     | 99       |              |        |             |       | 1        |    | 2001 553648225
"""

# Combined records: a detection by its status, activity 2 from its second revision on; an incident.
COMBINED_KINDS = """
# status          | class | activity | status | action | disposition | alert | severity | states
detected          | 2004  | 1        | 1      | 3      | 15          | yes   | 0        |
quarantined       | 2004  | 1        | 4      | 2      | 3           | no    | 0        |
quarantine_failed | 2004  | 1        | 1      | 3      | 13          | yes   | 0        |
incident          | 2004  | 1        | 1      | 3      | 15          | yes   | 0        |
"""

# An event type that is in no row above: by the first of these fields that it has.
UNKNOWN_KINDS = """
# has field                              | class | activity | status | action | disposition | alert | severity | states
vulnerabilities                          | 2002  | 1        | 1      | 0      | 0           |       | 0        |
detection cloud_ioc tactics techniques   | 2004  | 1        | 1      | 0      | 0           |       | 0        |
scan                                     | 6007  | 99       |        |        |             |       | 1        |
*                                        | 0     | 99       |        |        |             |       | 1        |
"""

# Version 1.1 has no remediation classes, and no update of an application.  A file that was restored or deleted is an
# update of its finding there, isolation a state of the computer; file fetches are neither.
BEFORE_1_3 = """
# class activity | in 1.1
7001 1           | 5019 1
7001 3           | 5019 1
7001 99          | 5019 1
7002 1           | 2004 2
7002 2           | 2004 2
7002 3           | 2004 2
7002 5           | 0 99
6002 8           | 6002 99
"""

# Which classes have an attribute; those that are not listed belong to all.
ATTRIBUTES = """
device             | 0/1.5+ 2002 2004 5001 5019 6002 6007 7001 7002
actor              | 0/1.5+ 2002 2004 3001 3004 5001 5019 6002 6007 7001 7002
user               | 3001 3002
service            | 3002
entity             | 3004
entity_result      | 3004
resources          | 2002/1.5+ 2004/1.5+
finding_info       | 2002 2004
evidences          | 2004
malware            | 2004 7001 7002
attacks            | 2004
remediation        | 2004 7001 7002
vulnerabilities    | 2002 2004
security_states    | 5019
app                | 6002
command_uid        | 7001 7002
scan               | 6007
file               | 7002
num_files          | 6007
num_processes      | 6007
num_folders        | 6007
num_detections     | 6007
"""

# Where a class keeps what stands in {braces} below.
PLACES = """
{file} | 2004 evidences[].file, 7002 file
{who}  | 3001 actor.user, 3002 user, 3004 actor.user
{what} | 3001 user, 3002 user, 3004 entity
"""

# AMP field: what Cisco calls it; "= value": a constant, set where the object has anything else.
# OCSF attribute: [] is the first item of a list; a name before [+] a list that gets what the converter makes; * the
# object itself.
# converter: a function of convert.py.  "+ original": where the converter changed the value, unmapped has it as it was.
# where: versions, if not all.  An AMP field without an attribute is known, and goes to unmapped.
FIELDS = """
# AMP field                              | OCSF attribute                        | converter       | where
id                                       | metadata.uid                          | id_text         |
event_type_id                            | metadata.event_code                   | id_text         |
event_type                               | message                               | text            |
event_type                               | finding_info.types[+]                 | text            |
detection_id                             | metadata.correlation_uid              | id_text         |
date                                     | metadata.original_time                | text            |
timestamp                                | time                                  | milliseconds    |
timestamp_nanoseconds                    | time_nanoseconds                      | nanoseconds     |
start_timestamp                          | start_time                            | milliseconds    |
start_date                               |                                       |                 |
severity                                 | *                                     | severity        |
connector_guid                           | device.uid                            | text            |
computer.connector_guid                  | device.uid                            | text            |
hostname                                 | device.name                           | text            | 1.1
hostname                                 | device.hostname                       | ascii_hostname  | 1.1
hostname                                 | device.hostname                       | text            | 1.5+
computer.hostname                        | device.name                           | text            | 1.1
computer.hostname                        | device.hostname                       | ascii_hostname  | 1.1
computer.hostname                        | device.hostname                       | text            | 1.5+
computer.external_ip                     |                                       |                 |
computer.active                          |                                       |                 |
computer.network_addresses               | device.network_interfaces[+]          | interfaces      |
computer.internal_ips                    | device.network_interfaces[+]          | addresses       |
computer.user                            | actor.user.*                          | user            |
computer.operating_system                | device.os.*                           | operating_system |
computer.risk_score                      | device.risk_score                     | integer         |
computer.is_compromised                  |                                       |                 |
computer.policy.guid                     | device.agent_list[].policies[].uid    | text            | 1.5+
computer.policy.name                     | device.agent_list[].policies[].name   | text            | 1.5+
= Cisco Secure Endpoint                  | device.agent_list[].name              |                 | 1.5+
= 1                                      | device.agent_list[].type_id           |                 | 1.5+
= Endpoint Detection and Response        | device.agent_list[].type              |                 | 1.5+
computer.isolation.available             |                                       |                 |
computer.isolation.status                |                                       |                 |
computer.links.computer                  |                                       |                 |
computer.links.trajectory                |                                       |                 |
computer.links.group                     |                                       |                 |
= 0                                      | device.type_id                        |                 |
= Unknown                                | device.type                           |                 |
group_guids                              | device.groups[+]                      | groups          |
detection                                | malware[].name                        | text            |
detection                                | malware[].*                           | malware_classes |
cloud_ioc.short_description              | finding_info.analytic.name            | text            |
= 2                                      | finding_info.analytic.type_id         |                 |
= Behavioral                             | finding_info.analytic.type            |                 |
cloud_ioc.description                    | finding_info.desc                     | text            |
tactics                                  | finding_info.attacks[+]               | tactics         |
techniques                               | finding_info.attacks[+]               | techniques      |
threat_hunting.tactics                   | finding_info.attacks[+]               | tactics         |
threat_hunting.techniques                | finding_info.attacks[+]               | techniques      |
threat_hunting.incident_report_guid      | finding_info.uid                      | text            |
threat_hunting.incident_hunt_guid        |                                       |                 |
threat_hunting.incident_id               | finding_info.uid_alt                  | id_text         | 1.5+
threat_hunting.incident_title            | finding_info.title                    | text            |
threat_hunting.incident_summary          | finding_info.desc                     | text            |
threat_hunting.incident_remediation      | remediation.desc                      | text            |
threat_hunting.incident_start_time       | finding_info.first_seen_time          | milliseconds    |
threat_hunting.incident_end_time         | finding_info.last_seen_time           | milliseconds    |
threat_hunting.severity                  |                                       |                 |
console_links.device_trajectory_event    | finding_info.src_url                  | text            |
file.file_name                           | {file}.name                           | text            |
file.file_path                           | {file}.path                           | path + original |
file.identity.sha256                     | {file}.hashes[+]                      | sha256          |
file.identity.sha1                       | {file}.hashes[+]                      | sha1            |
file.identity.md5                        | {file}.hashes[+]                      | md5             |
= 1                                      | {file}.type_id                        |                 |
= Regular File                           | {file}.type                           |                 |
file.disposition                         |                                       |                 |
file.attack_details.application          |                                       |                 |
file.attack_details.attacked_module      |                                       |                 |
file.attack_details.base_address         |                                       |                 |
file.attack_details.suspicious_files     |                                       |                 |
file.parent.process_id                   | actor.process.pid                     | integer         |
file.parent.file_name                    | actor.process.name                    | text            |
file.parent.file_name                    | actor.process.file.name               | text            |
file.parent.identity.sha256              | actor.process.file.hashes[+]          | sha256          |
file.parent.identity.sha1                | actor.process.file.hashes[+]          | sha1            |
file.parent.identity.md5                 | actor.process.file.hashes[+]          | md5             |
= 1                                      | actor.process.file.type_id            |                 |
= Regular File                           | actor.process.file.type               |                 |
file.parent.disposition                  |                                       |                 |
command_line.arguments                   | evidences[].process.cmd_line          | text            |
network_info.local_ip                    | evidences[].src_endpoint.ip           | ip              |
network_info.local_port                  | evidences[].src_endpoint.port         | port            |
network_info.remote_ip                   | evidences[].dst_endpoint.ip           | ip              |
network_info.remote_port                 | evidences[].dst_endpoint.port         | port            |
network_info.dirty_url                   | evidences[].url.url_string            | text            | 1.5+
network_info.nfm.protocol                | evidences[].connection_info.protocol_name | lower_text  |
network_info.nfm.direction               | evidences[].connection_info.*         | direction + original |
= 0                                      | evidences[].connection_info.direction_id |              |
= Unknown                                | evidences[].connection_info.direction |                 |
network_info.parent.process_id           | evidences[].process.pid               | integer         |
network_info.parent.file_name            | evidences[].process.name              | text            |
network_info.parent.file_name            | evidences[].process.file.name         | text            |
network_info.parent.identity.sha256      | evidences[].process.file.hashes[+]    | sha256          |
network_info.parent.identity.sha1        | evidences[].process.file.hashes[+]    | sha1            |
network_info.parent.identity.md5         | evidences[].process.file.hashes[+]    | md5             |
= 1                                      | evidences[].process.file.type_id      |                 |
= Regular File                           | evidences[].process.file.type         |                 |
network_info.parent.disposition          |                                       |                 |
vulnerabilities                          | vulnerabilities[+]                    | vulnerabilities |
error.error_code                         | status_code                           | id_text         |
error.description                        | status_detail                         | text            |
isolation.error_code                     | status_code                           | id_text         |
isolation.duration                       |                                       |                 |
isolation.available                      |                                       |                 |
isolation.status                         |                                       |                 |
scan.description                         | scan.name                             | text            |
scan.clean                               |                                       |                 |
scan.scanned_files                       | num_files                             | integer         |
scan.scanned_processes                   | num_processes                         | integer         |
scan.scanned_paths                       | num_folders                           | integer         |
scan.malicious_detections                | num_detections                        | integer         |
= 0                                      | scan.type_id                          |                 |
= Unknown                                | scan.type                             |                 |
bp_data.package_manager_current_version  | app.version                           | text            |
bp_data.package_manager_pending_version  |                                       |                 |
bp_data.package_manager_serial_number    |                                       |                 |
bp_data.sts                              |                                       |                 |
stream                                   |                                       |                 |
incident_id                              | finding_info.uid                      | text            |
first_seen                               | finding_info.first_seen_time          | moment + original |
last_seen                                | finding_info.last_seen_time           | moment + original |
event_ids                                | finding_info.related_events[+]        | related_events  |
event_types                              | finding_info.types[+]                 | texts           |
count                                    | count                                 | integer         |
revision                                 |                                       |                 |
status                                   |                                       |                 |
by                                       |                                       |                 |
key                                      |                                       |                 |
computers                                |                                       |                 |
sha256s                                  |                                       |                 |
ips                                      |                                       |                 |
detections                               |                                       |                 |
"""

# What an object gets where no field of the event gave it: the first of these that there is.  "by" a function of
# convert.py; "= value": a constant.
DEFAULTS = """
# OCSF attribute              | from
finding_info.uid              | metadata.correlation_uid, metadata.uid, = unknown
finding_info.title            | malware[].name, finding_info.analytic.name, message, = Cisco Secure Endpoint
scan.name                     | message, = Scan
app.name                      | message by orbital, = Secure Endpoint
app.vendor_name               | = Cisco
command_uid                   | metadata.correlation_uid, metadata.uid, = unknown
device.ip                     | device.network_interfaces[].ip
{file}.name                   | {file}.path by last_name, {file}.hashes[].value
actor.process.file.name       | actor.process.file.hashes[].value
evidences[].process.file.name | evidences[].process.file.hashes[].value
evidences[].process.uid       | metadata.uid, = unknown
"""

# An object without one of these is none: what it was made from goes to unmapped.
REQUIRED = """
device                        | uid ip hostname name
device.os                     | name
actor.user                    | name
actor.process                 | pid
actor.process.file            | name
{file}                        | name
evidences[].process.file      | name
evidences[].src_endpoint      | ip
evidences[].dst_endpoint      | ip
finding_info.analytic         | name
malware[]                     | name
{who}                         | name uid
{what}                        | name uid
entity_result                 | name uid
vulnerabilities[+].affected_packages[] | name
"""

# What analysts search for; attributes of a list in [].
OBSERVABLES = """
# OCSF attribute                           | type             | where
device.hostname                            | 1 Hostname       |
device.network_interfaces[].ip             | 2 IP Address     |
device.network_interfaces[].mac            | 3 MAC Address    |
actor.user.name                            | 4 User Name      |
{file}.name                                | 7 File Name      |
{file}.hashes[].value                      | 8 Hash           |
user.name                                  | 4 User Name      |
user.email_addr                            | 5 Email Address  |
actor.user.email_addr                      | 5 Email Address  |
actor.process.name                         | 9 Process Name   |
actor.process.file.hashes[].value          | 8 Hash           |
evidences[].process.cmd_line               | 13 Command Line  | 1.5+
evidences[].process.name                   | 9 Process Name   |
evidences[].process.file.hashes[].value    | 8 Hash           |
evidences[].src_endpoint.ip                | 2 IP Address     |
evidences[].dst_endpoint.ip                | 2 IP Address     |
evidences[].url.url_string                 | 6 URL String     |
vulnerabilities[].cve.uid                  | 18 CVE Object: uid | 1.5+
"""

# The texts that stand beside the numbers.
NAMES = """
activity 2002    | 1 Create, 2 Update, 3 Close
activity 2004    | 1 Create, 2 Update, 3 Close
activity 3001    | 1 Create, 6 Delete
activity 3002    | 1 Logon, 2 Logoff
activity 3004    | 1 Create, 3 Update, 4 Delete
activity 5001    | 1 Log, 2 Collect
activity 5019    | 1 Log
activity 6002    | 1 Install, 2 Remove, 8 Update
activity 6007    | 1 Started, 2 Completed, 6 Error
activity 7001    | 1 Isolate, 2 Evict, 3 Restore, 5 Detect
activity 7002    | 1 Isolate, 2 Evict, 3 Restore, 5 Detect
status 2002      | 1 New, 4 Resolved
status 2004      | 1 New, 4 Resolved
status           | 1 Success, 2 Failure
action           | 0 Unknown, 1 Allowed, 2 Denied, 3 Observed, 4 Modified
disposition      | 0 Unknown, 1 Allowed, 2 Blocked, 3 Quarantined, 4 Isolated, 5 Deleted, 9 Restored, 10 Exonerated, 13 Uncorrected, 15 Detected, 16 No Action, 17 Logged, 27 Error
severity         | 0 Unknown, 1 Informational, 2 Low, 3 Medium, 4 High, 5 Critical
state            | 2 Policy mismatch, 3 In network quarantine, 5 Protection malfunction, 9 Reboot pending
"""
