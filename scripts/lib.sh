# Shared by the scripts: brings a fresh machine to where rkfs can be built. To be sourced by bash.

set -euo pipefail
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$ROOT"

say() { printf '%s\n' "$*" >&2; }
die() { say "$(basename "$0"): $*"; exit 1; }

# node_ready: the right Node.js is there.
node_ready() {
  command -v node >/dev/null || die "Node.js is missing: install Node.js 20 (20.19 or later)"
  node -e 'const [a, b] = process.versions.node.split(".").map(Number); process.exit(a === 20 && b >= 19 ? 0 : 1)' ||
    die "Node.js $(node -v) does not serve: install Node.js 20 (20.19 or later)"
}

# packages COMMAND:PACKAGE…: installs the Debian packages of the commands that are missing; needs root for that.
packages() {
  local pair missing=()
  for pair in "$@"; do
    command -v "${pair%%:*}" >/dev/null 2>&1 || [ -e "${pair%%:*}" ] || missing+=("${pair#*:}")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    die "these packages are missing: ${missing[*]}. Install them as root: apt-get install ${missing[*]}"
  fi
  say "installing ${missing[*]}"
  export DEBIAN_FRONTEND=noninteractive
  timeout 300 apt-get update -q >/dev/null || say "apt-get update failed: going on with the lists that are there"
  timeout 900 apt-get install -y -q --no-install-recommends "${missing[@]}" >/dev/null ||
    die "apt-get install ${missing[*]} failed"
}

library_of() { ls /usr/lib/*/"$1" /lib/*/"$1" 2>/dev/null | head -1; }

# test_packages: what the tests start.
test_packages() {
  packages git:git openssl:openssl sqlite3:sqlite3 ip:iproute2 fusermount3:fuse3 python3:python3 mount:mount iptables:iptables faketime:faketime redis-check-rdb:redis-tools cc:gcc
  [ -n "$(library_of libfuse.so.2)" ] || packages missing-libfuse2:libfuse2
}

# modules_ready: node_modules as package-lock.json has it, native parts built.
modules_ready() {
  # Headers beside the node in use spare node-gyp a download.
  local prefix; prefix=$(dirname "$(dirname "$(readlink -f "$(command -v node)")")")
  [ -e "$prefix/include/node/node.h" ] && export npm_config_nodedir="$prefix"
  if [ ! -e node_modules/.package-lock.json ] || [ package-lock.json -nt node_modules/.package-lock.json ]; then
    packages python3:python3 make:make g++:g++
    say "installing the Node.js packages"
    # Scripts of packages are not run, whatever npm's version; the one that is needed follows.
    timeout 900 npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >&2 || die "npm ci failed"
  fi
  if ! node -e "new (require('better-sqlite3'))(':memory:').close()" 2>/dev/null; then
    packages python3:python3 make:make g++:g++
    say "building better-sqlite3 (about a minute)"
    # node-gyp compiles one file after the other unless it is told
    JOBS=max timeout 900 npm rebuild better-sqlite3 --loglevel=error >&2 || die "better-sqlite3 does not build: see native-deps.md"
    node -e "new (require('better-sqlite3'))(':memory:').close()" || die "better-sqlite3 does not load: see native-deps.md"
  fi
}

# build_ready: dist is newer than what it is made of.
build_ready() {
  if [ ! -e dist/cli/main.js ] ||
    [ -n "$(find src package.json tsconfig.json tsconfig.build.json -newer dist/cli/main.js -print -quit)" ]; then
    say "building"
    rm -rf dist
    timeout 300 npm run --silent build >&2 || { rm -rf dist; die "the build failed"; }
  fi
}
