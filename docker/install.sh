#!/bin/sh
# Installs a list of requirements below /install, compiled; part of a build stage that is thrown away.
# docker/build-extra/ may hold, for machines behind a proxy or without a network: ca.crt, pip.conf, wheels/.
set -eu
requirements=$1
extra=/build/docker/build-extra

[ -f "$extra/pip.conf" ] && export PIP_CONFIG_FILE="$extra/pip.conf"
[ -f "$extra/ca.crt" ] && export PIP_CERT="$extra/ca.crt" SSL_CERT_FILE="$extra/ca.crt"
where=
[ -d "$extra/wheels" ] && where="--no-index --find-links $extra/wheels"

# Unquoted on purpose: it is several words, or none.
# shellcheck disable=SC2086
python3 -m pip install --quiet --disable-pip-version-check --no-cache-dir --no-compile --no-warn-script-location \
    --root-user-action=ignore --prefix /install $where --requirement "$requirements"
# Unchecked: the file system of a container is read-only, and a stat per import is saved.
python3 -m compileall -q -j 0 --invalidation-mode unchecked-hash /install
