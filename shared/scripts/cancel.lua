#!lua flags=allow-oom
-- Cancel a job.
-- ARGV: id
-- Returns the job's state after it: 'in_progress' when its worker has yet to end it, '' when there is no such job.
return cancel(ARGV[1])
