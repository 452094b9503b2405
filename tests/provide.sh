#!/usr/bin/env bash
# Provides what tests need and a machine may lack, where root and apt-get can: Chromium, and a container
# engine that answers. What stays missing is skipped by the tests, or fails them if PCM_REQUIRE says so.
set -uo pipefail

log=${TMPDIR:-/tmp}/pcm-dockerd.log
patience=60

has() { command -v "$1" >/dev/null 2>&1; }
answers() { docker version --format '{{.Server.Version}}' >/dev/null 2>&1; }

[ "$(id -u)" = 0 ] && has apt-get || exit 0

packages=()
has chromium || has chromium-browser || has google-chrome || packages+=(chromium)
has dockerd || answers || packages+=(docker.io)
if [ ${#packages[@]} -gt 0 ]; then
    echo "Installing ${packages[*]} ..."
    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y "${packages[@]}" >/dev/null
fi

if has dockerd && ! answers; then
    echo "Starting dockerd, which logs to $log ..."
    setsid nohup dockerd >"$log" 2>&1 </dev/null &
    for _ in $(seq $((patience * 5))); do
        answers && break
        sleep 0.2
    done
fi
exit 0
