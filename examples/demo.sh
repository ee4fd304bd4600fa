#!/usr/bin/env bash
# A walk through Manor's main job on this machine: from a registry file to 153 live databases. Run it with `make demo`.
#
# Assumes that .venv holds Manor. Works in ./demo, which is kept: a second run shows that deploying again changes nothing.
set -euo pipefail
cd "$(dirname "$0")/.."
manor=$PWD/.venv/bin/manor
registry=customer_a/tenant_registry.yaml

bold='' dim='' plain=''
if [ -t 1 ]; then bold=$'\033[1m' dim=$'\033[2m' plain=$'\033[0m'; fi

title() { printf '\n%s== %s%s\n' "$bold" "$1" "$plain"; }
run() {
  printf '%s$ manor %s%s\n' "$dim" "$*" "$plain"
  "$manor" "$@"
}

if [ -f demo/project.yaml ]; then
  title "0. the project in demo/ is there already"
elif [ -e demo ]; then
  echo "demo: ./demo exists and is not a Manor project; move it away and try again" >&2
  exit 2
else
  title "0. a project from the blueprint saas"
  run init --blueprint saas demo
fi
cd demo

title "1. a PostgreSQL of its own, in demo/.manor"
run server start

title "2. validate: is what is written there usable?"
run multi-tenant validate --registry "$registry"

title "3. preview: what would be done?"
run multi-tenant preview --registry "$registry" --limit 10

title "4. deploy: do it"
run multi-tenant deploy --registry "$registry"

title "5. healthcheck: is every database what it should be, and shut to the others?"
run multi-tenant healthcheck --registry "$registry"

cat <<'END'

== What next
Everything is in demo/: the registry and templates in demo/customer_a, the databases in demo/.manor. From there:

  cd demo && . ../.venv/bin/activate
  manor multi-tenant deploy --registry customer_a/tenant_registry.yaml            # again: nothing to do
  manor tenant list                                                               # who is there
  manor tenant psql customer_a/enterprise_tenants/007                             # into one of them, as its own role
  manor multi-tenant add-tenants --registry customer_a/tenant_registry.yaml \
      --group saas_standard_tenants --count 5                                     # grow: then preview, deploy
  manor audit verify                                                              # was the audit log touched?

To stop the server:  manor server stop                 (deploy starts it again by itself)
To remove the data:  manor server destroy --confirm    (make clean does it too)
END
