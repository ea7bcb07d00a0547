#!/bin/sh
# What the tests need of this machine, checked in the first second and before anything is installed.
#
#   sh tests/needs.sh PYTHON [kafka]
#
# PYTHON is the interpreter that makes the environment. `kafka`: also what the suite on real Kafka needs.
set -u
python=$1
kafka=${2:-}
missing=""

lacks() {  # what is missing, and the Debian package that brings it
    echo "make test: $1" >&2
    missing="$missing $2"
}

needs() {  # a program, what it is for, and its Debian package
    command -v "$1" >/dev/null 2>&1 || lacks "$1 is not installed ($2)" "$3"
}

if ! command -v "$python" >/dev/null 2>&1; then
    lacks "$python is not installed" "python3 python3-venv"
elif ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    lacks "$python is $("$python" -V 2>&1), guardian needs 3.11 or later; another one: make test PYTHON=python3.12" python3
elif ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    lacks "$python has no venv with pip, which makes the tests' environment" python3-venv
fi
needs bash "terminals of the pages in docs/" bash
needs curl "commands on the pages in docs/" curl
needs openssl "keys and certificates of the TLS tests" openssl
command -v promtool >/dev/null 2>&1 || needs apt-get "fetches promtool, which is not here either" prometheus

if [ "$kafka" = kafka ]; then
    needs mvn "fetches Apache Kafka" maven
    needs taskset "pins a broker to a core" util-linux
    needs node "runs kafkajs, a producer that guardian must read" nodejs
    needs npm "fetches kafkajs" npm
    if ! command -v java >/dev/null 2>&1; then
        lacks "java is not installed (runs Apache Kafka)" openjdk-17-jre-headless
    else
        version=$(java -version 2>&1 | sed -n 's/.*version "\(1\.\)\{0,1\}\([0-9]*\).*/\2/p' | head -n 1)
        [ "${version:-0}" -ge 17 ] ||
            lacks "java is version ${version:-unknown}, Apache Kafka 4 needs 17 or later" openjdk-17-jre-headless
    fi
fi

if [ -n "$missing" ]; then
    echo "On Debian or Ubuntu: sudo apt-get install$missing" >&2
    [ "$kafka" != kafka ] || echo "Without Java, Maven and Node: make test-fast" >&2
    exit 1
fi
