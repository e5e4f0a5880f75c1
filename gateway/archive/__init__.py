"""What is stored for days: answers, conversations, files. An *index* tells what there is, *blobs* hold what is in it.

Redis holds what runs, for minutes; it does not fill up with what is stored.
"""
