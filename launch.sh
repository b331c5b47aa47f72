#!/usr/bin/env bash
# ./launch.sh [ARGS]       runs toylab with ARGS
# ./launch.sh test [ARGS]  runs the tests; ARGS go to pytest; a leading --all adds the slow ones
# ./launch.sh lint         ruff, its formatter and mypy
# ./launch.sh docs         builds the documentation as a site and checks its links
# ./launch.sh --gpu [ARGS] first adds to .venv what jax needs for an NVIDIA GPU
# The first start makes .venv from requirements.lock; so does the next one if that file changes.
# PYTHON=/path/to/python chooses the interpreter. pip's and uv's own settings are honoured.
set -euo pipefail
unset PYTHONDONTWRITEBYTECODE PYTHONHOME CDPATH

export TOYLAB_CWD="$PWD" # the user's relative paths start here
here=${BASH_SOURCE[0]}
while [ -L "$here" ]; do # started through a link
  link=$(readlink "$here")
  case $link in /*) here=$link ;; *) here=$(dirname "$here")/$link ;; esac
done
cd -- "$(dirname -- "$here")"
export PYTHONPATH="$PWD" PYTHONUTF8=1
# By default glibc returns large freed blocks to the system and gets them again page by page, which
# takes a fifth of the time of a reading. These make it keep them. Without glibc they do nothing.
export MALLOC_ARENA_MAX=${MALLOC_ARENA_MAX:-1} MALLOC_MMAP_MAX_=${MALLOC_MMAP_MAX_:-0} \
  MALLOC_TRIM_THRESHOLD_=${MALLOC_TRIM_THRESHOLD_:-8589934592}

venv_python=$PWD/.venv/bin/python
stamp=.venv/.installed # written last: without it a .venv is unfinished
new=.venv.new          # where packages are installed, beside those in use

say() { printf 'toylab: %s\n' "$*" >&2; }

version() { "$1" -ISc 'import sys; print("%d.%d.%d" % sys.version_info[:3])' 2>/dev/null; }

# What a finished .venv of Python version $1 has in its stamp.
wanted() { printf '%s python %s' "$(cksum <requirements.lock)" "$1"; }

# PYTHON, where it is set, must be the interpreter that .venv was made with.
ready() {
  [ -f "$stamp" ] && [ -x "$venv_python" ] &&
    [ "$(cat "$stamp")" = "$(wanted "$(version "${PYTHON:-$venv_python}")")" ]
}

find_python() {
  local candidate
  for candidate in ${PYTHON:+"$PYTHON"} python3.11 python3.12 python3.13 python3.14 python3 python; do
    if "$candidate" -Ic 'import sys, venv, ensurepip
sys.exit(not (3, 11) <= sys.version_info < (3, 15))' >/dev/null 2>&1; then
      printf '%s' "$candidate"
      return
    fi
    [ -z "${PYTHON:-}" ] || break
  done
  say "needs ${PYTHON:+PYTHON=$PYTHON to be }Python 3.11, 3.12, 3.13 or 3.14 with its venv module" \
    "(Debian, Ubuntu: apt install python3-venv); set PYTHON=/path/to/python to choose one."
  return 2
}

# uv does not read pip's configuration, so pass it in uv's variables. Those already set win.
pip_settings_for_uv() {
  "$venv_python" -m pip config list | "$venv_python" -c '
import ast, os, shlex, sys
sections = {"global": {}, "install": {}, ":env:": {}}  # the later one wins
for line in sys.stdin:
    name, _, value = line.partition("=")
    section, _, key = name.rpartition(".")
    sections.get(section, {})[key] = ast.literal_eval(value.strip())
pip = {key: value for section in sections.values() for key, value in section.items()}
for name, key, between in [
    ("UV_DEFAULT_INDEX", "index-url", " "), ("UV_INDEX", "extra-index-url", " "),
    ("UV_FIND_LINKS", "find-links", ","), ("UV_NO_INDEX", "no-index", " "),
    ("UV_INSECURE_HOST", "trusted-host", " "), ("SSL_CERT_FILE", "cert", " "),
    ("SSL_CLIENT_CERT", "client-cert", " "), ("HTTPS_PROXY", "proxy", " "),
    ("UV_HTTP_TIMEOUT", "default-timeout", " "), ("UV_HTTP_TIMEOUT", "timeout", " "),
]:
    if key in pip and name not in os.environ:
        print(f"export {name}={shlex.quote(between.join(pip[key].split()))}")
'
}

install_with_uv() (
  set -e
  # uv itself is in the lock file, too: these are its lines, with their hashes.
  awk '/^[^ ]/ { uv = /^uv==/ } uv' requirements.lock >$new/uv.lock
  "$venv_python" -m pip install --quiet --require-hashes --only-binary :all: -r $new/uv.lock
  eval "$(pip_settings_for_uv)"
  # Treat several indexes as one, as pip does: the hashes say which files are meant.
  export UV_INDEX_STRATEGY="${UV_INDEX_STRATEGY:-unsafe-best-match}"
  $new/bin/uv pip install --quiet --python "$venv_python" \
    --require-hashes --only-binary :all: -r requirements.lock
)

install_all() (
  set -e
  trap 'exit 130' INT # or pip would take over from an interrupted uv
  export PIP_USER=0 # whatever pip's configuration says
  venv_python=$PWD/$new/bin/python
  rm -rf $new
  "$1" -m venv --prompt .venv $new
  # Not in an 'if': bash would not stop at the first failure inside it.
  set +e
  install_with_uv
  status=$?
  set -e
  if [ "$status" -ne 0 ]; then
    echo 'No luck with uv; pip instead.'
    "$venv_python" -m pip install --require-hashes --only-binary :all: -r requirements.lock
  fi
  rm -f $new/uv.lock
  wanted "$(version "$venv_python")" >$new/.installed
)

# Moves the new packages to .venv, and changes the folder's name in the scripts that contain it.
exchange() {
  "$1" -Ic 'import pathlib
for file in pathlib.Path(".venv.new/bin").iterdir():
    if not file.is_symlink() and b"/.venv.new" in (text := file.read_bytes()):
        file.write_bytes(text.replace(b"/.venv.new", b"/.venv"))'
  rm -rf .venv.old
  [ ! -e .venv ] || mv .venv .venv.old
  mv $new .venv
  rm -rf .venv.old
}

if ! ready; then
  python=$(find_python)
  # A lock on descriptor 9, held by this shell and its children: the system drops it when they end,
  # however they end. Through Python because macOS has no flock command.
  exec 9>.venv.lock
  hold() { "$python" -Ic "import fcntl; fcntl.flock(9, fcntl.LOCK_EX$1)" 2>/dev/null; }
  if ! hold '|fcntl.LOCK_NB'; then
    say 'waiting for another launch that is installing ...'
    hold '' || { say "$PWD: its file system refuses a lock; mount it with locks"; exit 1; }
  fi
  [ -e .venv ] || [ ! -f $new/.installed ] || exchange "$python" # a launch was killed in between
  if ! ready; then # else the other launch did it
    say 'installing Python packages into .venv, once (270 MB to fetch, 1 GB on disk): about half a minute'
    log=$(mktemp "${TMPDIR:-/tmp}/toylab-install.XXXXXX")
    trap 'rm -f "$log"' EXIT
    trap 'exit 130' INT
    set +e
    install_all "$python" >"$log" 2>&1 </dev/null
    status=$?
    set -e
    if [ "$status" -ne 0 ]; then
      rm -rf $new
      cat "$log" >&2
      say 'could not install the packages (see above); the next start tries again.'
      exit 1
    fi
    exchange "$python"
    rm -f "$log"
    trap - EXIT INT
  fi
  exec 9>&-
fi
[ ! -e .venv.old ] || rm -rf .venv.old 2>/dev/null || true # left by an exchange that was killed

# Installs requirements-$1.lock into .venv, once; $2 says what it is.
add() {
  local now
  now=$(cksum <"requirements-$1.lock")
  [ "$(cat ".venv/.$1" 2>/dev/null)" != "$now" ] || return 0
  say "installing $2 into .venv, once"
  "$venv_python" -m pip install --quiet --no-deps --require-hashes --only-binary :all: \
    -r "requirements-$1.lock"
  printf '%s' "$now" >".venv/.$1"
}

if [ "${1:-}" = --gpu ]; then
  shift
  add gpu 'what jax needs for a GPU (some minutes)'
  [ -e /dev/nvidiactl ] || [ -e /dev/dxg ] || say "no NVIDIA GPU is here: runs use the CPU"
fi

case ${1:-} in
  test)
    shift
    if [ "${1:-}" = --all ]; then
      shift
      set -- -m 'slow or not slow' "$@"
    fi
    exec "$venv_python" -m pytest "$@"
    ;;
  lint)
    failed=0
    "$venv_python" -m ruff check . || failed=1
    "$venv_python" -m ruff format --check . || failed=1
    "$venv_python" -m mypy toylab || failed=1
    exit "$failed"
    ;;
  torture)
    shift
    exec "$venv_python" -m tests.torture "$@"
    ;;
  docs)
    add docs 'what builds the site'
    rm -rf site
    mkdir -p site/pages
    # A copy with the same layout, so that links between pages work.
    tar cf - --exclude=__pycache__ --exclude='*.pdf' --exclude=results/own --exclude=results/quick \
      README.md CITATION.cff LICENSE docs results experiments corpora benchmarks toylab |
      tar xf - -C site/pages
    cp docs/site.toml site/zensical.toml
    .venv/bin/zensical build --strict --config-file site/zensical.toml
    say "the site is at $PWD/site/html/index.html"
    ;;
  *)
    exec "$venv_python" -m toylab "$@"
    ;;
esac
