#!/bin/sh
# Consumer groups from the shell. Called with the directory of a store that holds the topic lines.
set -eu
store=$1
cairnlog consume "$store" -g billing -t lines --from first
cairnlog groups "$store"
