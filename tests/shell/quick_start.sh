#!/bin/sh
# The tool from the shell: append, read back, check. Called with the directory of a store.
set -eu
store=$1
printf 'one\ntwo\nthree\n' | cairnlog append "$store" -t lines --flush sync
cairnlog cat "$store"
cairnlog inspect "$store" records --json
cairnlog verify "$store"
