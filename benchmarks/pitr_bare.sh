#!/bin/bash
# One tenant back at a moment, by hand: what a careful operator would type, with plain tools and nothing checked.
# Arguments: programs, socket folder, administrator, base (an unpacked pg_basebackup), archive, folder to work in, account,
# database, OIDs to lay out (or "all").
set -euo pipefail
programs=$1 host=$2 user=$3 base=$4 archive=$5 work=$6 account=$7 database=$8
shift 8
export PGHOST=$host PGUSER=$user PGDATABASE=postgres
sql() { "$programs/psql" -XAtq -v ON_ERROR_STOP=1 "$@"; }

moment=$(sql -c "SELECT clock_timestamp()")
segment=$(sql -c "SELECT pg_logical_emit_message(true, 'bare', 'heartbeat')" -c "SELECT pg_walfile_name(pg_switch_wal())" | tail -n 1)
until [ -e "$archive/$segment" ]; do sleep 0.02; done

side=$work/side
mkdir -p -m 0755 "$side"
mkdir -m 0700 "$side/data" "$side/data/base" "$side/socket"
if [ "$1" = all ]; then
  cp -r "$base/base/." "$side/data/base"
else
  for folder in "$base"/base/*; do
    oid=${folder##*/}
    case " $* " in
      *" $oid "*) cp -r "$folder" "$side/data/base" ;;
      *) mkdir "$side/data/base/$oid" && cp "$folder/PG_VERSION" "$side/data/base/$oid" ;;
    esac
  done
fi
for entry in "$base"/*; do
  [ "${entry##*/}" = base ] || cp -r "$entry" "$side/data"
done
mkdir -p "$side/data/pg_wal/archive_status" "$side/data/pg_wal/summaries"
: >"$side/data/postgresql.auto.conf"
: >"$side/data/recovery.signal"
cat >"$side/data/postgresql.conf" <<CONF
listen_addresses = ''
unix_socket_directories = '$side/socket'
max_connections = 200
max_prepared_transactions = 200
fsync = off
archive_mode = off
hot_standby = off
autovacuum = off
ignore_invalid_pages = on
restore_command = 'cp "$archive/%f" "%p"'
recovery_target_time = '$moment'
recovery_target_action = promote
CONF
echo "local all all trust" >"$side/data/pg_hba.conf"
chown -R "$account" "$side"
runuser -u "$account" -- "$programs/pg_ctl" -D "$side/data" -l "$side/data/log" -W -s start >/dev/null
until "$programs/pg_isready" -q -h "$side/socket"; do sleep 0.02; done

sql -c "CREATE DATABASE bare_restored TEMPLATE template0"
PGHOST=$side/socket "$programs/pg_dump" -Fc "$database" | "$programs/pg_restore" --single-transaction --exit-on-error -d bare_restored
sql -c "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '$database'" >/dev/null
sql -c "ALTER DATABASE \"$database\" RENAME TO bare_former"
sql -c "ALTER DATABASE bare_restored RENAME TO \"$database\""
runuser -u "$account" -- "$programs/pg_ctl" -D "$side/data" -m immediate -s stop
rm -rf "$side"
