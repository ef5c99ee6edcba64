#!/bin/sh
# localstripe (https://github.com/adrienverge/localstripe, GPL-3.0-or-later), a fake Stripe of other people's, as a
# counterpart for tests. It is installed from PyPI into the target folder and is no part of paymux.
#
#   localstripe.sh start   starts it unless it runs, and prints its address and key as exports for eval
#   localstripe.sh stop    stops what `start` started
#   localstripe.sh run     runs it in the foreground until its standard input ends; prints the same lines when it answers
set -eu

VERSION=1.15.10
root=$(cd "$(dirname "$0")/../.." && pwd)
home=${CARGO_TARGET_DIR:-$root/target}/services/localstripe
venv=$home/venv-$VERSION
python=$venv/bin/python

# Its own command listens on every address and keeps its data in one file below /tmp, shared by all that run it: so it is
# started as a module, on the loopback alone and in memory. It takes a free port and says which.
SERVE='
import asyncio, os, sys, threading
from aiohttp import web
from localstripe.resources import Store
from localstripe.server import app

Store.dump_to_disk = lambda self: None

async def serve(until_eof):
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    port = runner.addresses[0][1]
    print(f"export STRIPE_API_BASE=http://127.0.0.1:{port}\nexport STRIPE_SECRET_KEY=sk_test_localstripe", flush=True)
    if until_eof:
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
        os._exit(0)
    await asyncio.Event().wait()

asyncio.run(serve(sys.argv[1] == "until-eof"))
'

install() {
    if [ -e "$venv/installed" ]; then return; fi
    mkdir -p "$home"
    # One installs, others wait for it.
    tries=0
    until mkdir "$home/installing" 2>/dev/null; do
        tries=$((tries + 1))
        if [ -e "$venv/installed" ]; then return; fi
        if [ "$tries" -gt 120 ]; then echo "localstripe: $home/installing is in the way" >&2; exit 1; fi
        sleep 1
    done
    trap 'rmdir "$home/installing" 2>/dev/null || true' EXIT
    if [ ! -e "$venv/installed" ]; then
        rm -rf "$venv"
        python3 -m venv "$venv"
        "$python" -m pip install --quiet --disable-pip-version-check --retries 2 --timeout 20 \
            "localstripe==$VERSION" "aiohttp==3.14.5" "python-dateutil==4.0.0" >&2
        touch "$venv/installed"
    fi
    rmdir "$home/installing"
    trap - EXIT
}

running() {
    [ -s "$home/pid" ] && kill -0 "$(cat "$home/pid")" 2>/dev/null && [ -s "$home/env" ]
}

case ${1:-} in
start)
    install
    if ! running; then
        rm -f "$home/env"
        nohup "$python" -c "$SERVE" daemon >"$home/env" 2>"$home/log" </dev/null &
        echo $! >"$home/pid"
        tries=0
        until [ -s "$home/env" ]; do
            tries=$((tries + 1))
            if [ "$tries" -gt 100 ] || ! kill -0 "$(cat "$home/pid")" 2>/dev/null; then
                echo "localstripe doesn't answer; see $home/log" >&2
                exit 1
            fi
            sleep 0.1
        done
    fi
    cat "$home/env"
    ;;
stop)
    if running; then kill "$(cat "$home/pid")"; fi
    rm -f "$home/pid" "$home/env"
    ;;
run)
    install
    exec "$python" -c "$SERVE" until-eof
    ;;
*)
    sed -n '2,8s/^# \{0,1\}//p' "$0" >&2
    exit 2
    ;;
esac
