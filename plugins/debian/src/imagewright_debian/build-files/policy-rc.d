#!/bin/sh
# Nothing is started in a tree that is being built (invoke-rc.d(8)).
exit 101
