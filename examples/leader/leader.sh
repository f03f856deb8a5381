#!/bin/sh
# leader.sh URL LOCK NAME COMMAND...: runs COMMAND while this machine holds LOCK, with its token in $TOKEN.
at=$1/v1/locks/$2 me=$3
shift 3
token=
while [ -z "$token" ]; do
    token=$(curl -s -X POST "$at" -d '{"owner": "'"$me"'", "ttl_ms": 10000, "wait_ms": 60000}' |
        sed -n '/"expires"/s/.*"token": *\([0-9]*\).*/\1/p')
    [ -n "$token" ] || sleep 1
done
TOKEN=$token "$@" &
work=$!
while kill -0 $work 2>/dev/null; do
    curl -sf -m 3 -o /dev/null -X PUT "$at" -d '{"token": '"$token"', "ttl_ms": 10000}' || kill $work
    sleep "${RENEW:-3}"
done
wait $work
status=$?
curl -s -o /dev/null -X DELETE "$at?token=$token"
exit $status
