"""Running programs without root: one user namespace per build, mount and PID namespaces per job."""
