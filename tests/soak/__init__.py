"""An hour of mixed load, some of it hostile: nothing grows. Run by `make soak`."""
