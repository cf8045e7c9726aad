#!/usr/bin/env bash
# Last words of `make demo`: an invitation for each person, who can log in and how, and where the report is.
set -euo pipefail
cd "$(dirname "$0")/.."
site=inventories/demo

ansible-playbook -i "$site" playbooks/invite.yml -e person=all >.cache/invite.log ||
  { cat .cache/invite.log; exit 1; }

cat <<END

== the demo site runs ==

People (of the file $site/group_vars/all/site.yml), each with an invitation:
$(for file in "$site"/invitations/*.txt; do [ ! -e "$file" ] || printf '  %-8s %s\n' "$(basename "$file" .txt)" "$file"; done)

To be one of them: the desktop has the clients profanity and go-sendxmpp.
  ssh -t -F $site/.ssh/config desk profanity
The other machines: im-int (server), gw (gateway), world (outside; carol@partner.example's password: $site/.ssh/carol.password)
  ssh -F $site/.ssh/config im-int

What was proven, practice by practice: $PWD/reports/demo/report.html
To remove all of it: make clean
END
