"""Where the tasks of a long run are done: in this process, in several, or on the nodes of Ray."""
