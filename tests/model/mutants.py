"""Faults that are put into the fences of the scripts, one at a time: the machine must find each."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Mutant:
    """A script in which some text, that stands there once, is another."""

    name: str
    script: str
    text: str
    instead: str


_TICKET, _SCHEDULE, _MEMORY, _HISTORY = "_ticket", "_schedule", "_memory", "_history"

MUTANTS = (
    Mutant("append by any execution", "append", "if t[1] ~= exec then", "if not t[1] then"),
    Mutant("append to a job that does not run", "append", "if t[4] ~= 'in_progress' then", "if t[4] == 'queued' then"),
    Mutant("append takes the end by another for a resend", "append", "if t[5] ~= exec then", "if not t[5] then"),
    Mutant("append over a gap", "append", "if first ~= stored + 1 then", "if first <= stored then"),
    Mutant("append stores a resend again", "append", "if last <= stored then", "if last < stored then"),
    Mutant("append does not tell of a cancel", "append", "t[3] == '1' and 2 or", "false or"),
    Mutant("append does not ask back", "append", "t[6] and 3 or 1", "1"),
    Mutant(
        "append answers one execution for another",
        "append",
        "return answers",
        "if #answers > 1 then answers[1], answers[2] = answers[2], answers[1] end\nreturn answers",
    ),
    Mutant(
        "append of all fails with one", "append", "pcall(append, unpack(execution))", "true, append(unpack(execution))"
    ),
    Mutant(
        "append forgets those after one that fails",
        "append",
        "  answers[i] =",
        "  if not done then break end\n  answers[i] =",
    ),
    Mutant(
        "append tells a gateway of the last job only", "append", "news[reply] = news[reply] or {}", "news[reply] = {}"
    ),
    Mutant(
        "append tells an older gateway of several jobs", _TICKET, "string.find(reply, KEY.reply, 1, true) == 1", "true"
    ),
    Mutant("append forgets the tokens before", "append", "(t[7] or 0) + tokens", "tokens"),
    Mutant("claim forgets that it was sent before", "claim", "if not id then", "if true then"),
    Mutant(
        "claim takes one that another execution has",
        "claim",
        "known[1] ~= exec or known[2]",
        "known[2]",
    ),
    Mutant(
        "claim without a job may get one later",
        "claim",
        "    redis.call('SET', mark, pause and ':' .. now + pause or '', 'EX', REMEMBERED)\n",
        "",
    ),
    Mutant("claim past the deadline", _TICKET, "if now < tonumber(t[2]) then", "if now < tonumber(t[2]) + 60000 then"),
    Mutant("claim charges nobody", "claim", "charge(model, job)", "delist(model, id)"),
    Mutant("weights that count for nothing", _SCHEDULE, "(weight or 1)", "1"),
    Mutant(
        "whoever comes anew has saved up",
        _SCHEDULE,
        "ZADD', turns(model, rank), math.max(tag, clock(model, rank))",
        "ZADD', turns(model, rank), tag",
    ),
    Mutant("whoever steps aside owes nothing", _SCHEDULE, "if tag > clock(model, rank) then", "if false then"),
    Mutant("whoever has read it is no matter", "_readers", "if name == worker then return worker end", ""),
    Mutant("a job is left for the dead", "_readers", " and redis.call('HEXISTS', KEY.slots .. model, name) == 1", ""),
    Mutant("a job is left for ever", _SCHEDULE, "rest > 0 and rest <= LEFT_FOR and rest or nil", "LEFT_FOR"),
    Mutant("a job is left until a clock has come again", _SCHEDULE, "and rest <= LEFT_FOR and", "and"),
    Mutant("nobody is told what is left for him", _SCHEDULE, "  redis.call('RPUSH', KEY.permits .. other, id)\n", ""),
    Mutant(
        "any number of permits is left",
        _SCHEDULE,
        "  redis.call('LTRIM', KEY.permits .. other, -MOST_PERMITS, -1)\n",
        "",
    ),
    Mutant("permits are left for ever", _SCHEDULE, "  redis.call('EXPIRE', KEY.permits .. other, PERMITS_LAST)\n", ""),
    Mutant(
        "a job is overtaken by any number", _SCHEDULE, "if tonumber(t[3] or 0) >= MOST_OVERTAKEN then break end", ""
    ),
    Mutant(
        "the clock leaves behind whom it overtakes",
        _SCHEDULE,
        "#job.overtakes > 0 then\n    served =",
        "#job.overtakes > 0 then\n    local _ =",
    ),
    Mutant("one worker waits for itself", _SCHEDULE, "KEY.slots .. model) > 1", "KEY.slots .. model) > 0"),
    Mutant("claim forgets that it has left all", "claim", "if left_until then", "if left_until and false then"),
    Mutant(
        "who was given a job is told as any", "claim", "who == worker and 'reader' or who and 'other' or 'any'", "'any'"
    ),
    Mutant(
        "what was left counts with every execution",
        "claim",
        "if not left or left < tonumber(t[3] or 0)",
        "if not left",
    ),
    Mutant(
        "what was left counts among the shortest waits",
        "claim",
        "count_wait(model, 'left', math.max(0, now - left))",
        "count_wait(model, 'left', 0)",
    ),
    Mutant("claim leaves a permit behind", "claim", "redis.call('RPOP', KEY.rq_queue .. model)", ""),
    Mutant("who has read is kept for ever", "_readers", "  redis.call('EXPIRE', readers, READ_LASTS)\n", ""),
    Mutant(
        "who has read any number of prompts is kept",
        "_readers",
        "if redis.call('HLEN', readers) >= MOST_READ",
        "if false",
    ),
    Mutant("any number of readers is kept", "_readers", "name ~= worker and count < MOST_READERS", "name ~= worker"),
    Mutant("who has read before is forgotten", "_readers", "found[i] = before[i]", ""),
    Mutant("an end that charges nothing", _SCHEDULE, "if not t[1] then return end", "if true then return end"),
    Mutant("a tier that is never due", _SCHEDULE, "if job and time <= now and", "if false and"),
    Mutant(
        "the newest first",
        _SCHEDULE,
        "ZRANGEBYLEX', waiting(model), from, to,",
        "ZREVRANGEBYLEX', waiting(model), to, from,",
    ),
    Mutant("a job that waits nowhere", _SCHEDULE, "redis.call('ZADD', waiting(model), 0, place)", ""),
    Mutant(
        "an owner who waits without a job",
        _SCHEDULE,
        "if redis.call('HINCRBY', lines(model, rank), owner, -1) > 0 then",
        "if redis.call('HINCRBY', lines(model, rank), owner, -1) >= 0 then",
    ),
    Mutant("a place that outlives its job", _TICKET, "    delist(model, id)\n", ""),
    Mutant(
        "a job that goes back to the end",
        _SCHEDULE,
        "if not place then\n    local arrival",
        "if true then\n    local arrival",
    ),
    Mutant(
        "better ones are never counted",
        _SCHEDULE,
        "ZLEXCOUNT', waiting(model), '-', '(' .. RANKS.flex .. ':'",
        "ZLEXCOUNT', waiting(model), '-', '-'",
    ),
    Mutant("more are asked back than needed", _SCHEDULE, " - redis.call('ZCARD', KEY.preempted .. model)", ""),
    Mutant("asked back for ever", _SCHEDULE, "< MOST_PREEMPTIONS", "< 99999"),
    Mutant("asked back although slots are free", _SCHEDULE, "- math.max(0, free)", ""),
    Mutant("decline by any execution", "decline", "t[1] ~= exec or ", ""),
    Mutant("permits are never made up", "sweep", "if missing > 0 then", "if false then"),
    Mutant("permits are never taken away", "sweep", "elseif missing < 0 then", "elseif false then"),
    Mutant(
        "submit beyond the owner's bound",
        "submit",
        "owned(owner, own_most) >= own_most",
        "owned(owner, own_most) > own_most",
    ),
    Mutant("an end that the owner is not told of", _TICKET, "redis.call('SREM', KEY.owned .. owner, id)", ""),
    Mutant("renew for any execution", "renew", "t[1] ~= exec or ", ""),
    Mutant("renew of a job that has ended", "renew", " or t[2] ~= 'in_progress'", ""),
    Mutant("release for any execution", "release", "t[1] == exec and ", ""),
    Mutant("release runs a cancelled job again", "release", "if t[3] == '1' then", "if t[3] == '2' then"),
    Mutant("hand-backs without a bound", "release", "'returned', 1) > most", "'returned', 1) > most + 1000"),
    Mutant("restart for any execution", "restart", "t[1] ~= exec or ", ""),
    Mutant("restart under somebody who reads", "restart", "if t[3] then return 0 end", ""),
    Mutant("restart of a cancelled job", "restart", "if t[5] == '1' then", "if t[5] == '2' then"),
    Mutant("submit does not see that it was sent before", "submit", "if known then", "if known == 'none' then"),
    Mutant("what a client has cancelled is put back", "cancel", "redis.call('HDEL', ticket(ARGV[1]), 'deserted')", ""),
    Mutant("submit joins a job that was cancelled", _TICKET, " and t[1] ~= 'cancelled' and t[2] ~= '1'", ""),
    Mutant(
        "submit gives an orphan to two", "submit", "redis.call('LPOP', orphans)", "redis.call('LINDEX', orphans, 0)"
    ),
    Mutant("submit into a full queue", "submit", "others >= tonumber(most)", "others > tonumber(most)"),
    Mutant("leave cancels what was promised", _TICKET, "return t[1] == '' and not t[2]", "return t[1] == ''"),
    Mutant("leave forgets who left as the job ended", "leave", "t[1] == 'completed' and linger > 0", "false"),
    Mutant("leave cancels under the others", "leave", "if not abandoned(id) then return t[1] end", ""),
    Mutant(
        "an end that leaves the job listed",
        _TICKET,
        "  unlist(model, id, exec)\n  redis.call('ZREM'",
        "  redis.call('ZREM'",
    ),
    Mutant("an end without a time to live", _MEMORY, "redis.call('EXPIRE', KEY.events .. id, keep)", ""),
    Mutant("sweep runs a cancelled job again", "sweep", "elseif t[4] == '1' then", "elseif t[4] == '2' then"),
    Mutant("sweep believes any lease", "sweep", "clamp(KEY.leases, now + lease)", ""),
    Mutant("sweep recovers at once after an outage", "sweep", "if now < hold then return 0 end", ""),
    Mutant("sweep runs a job for ever", "sweep", "tonumber(t[3]) >= most", "tonumber(t[3]) > most + 1000"),
    Mutant("sweep believes any deadline", "sweep", "if deadline > latest then", "if false then"),
    Mutant("lapse leaves the visitors of the dead", "lapse", "string.sub(other, -#reply) == reply", "false"),
    Mutant("lapse dismisses the visitors of the living", "lapse", "string.sub(other, -#reply) == reply", "true"),
    Mutant("lapse cancels what is read elsewhere", "lapse", "#streams == 0 and abandoned(id)", "abandoned(id)"),
    Mutant("lapse at once after an outage", "lapse", "if now < hold and hold - now <= HOLD then return end", ""),
    Mutant("attach forgets who waits", _TICKET, "if visitor ~= '' then await(id, visitor, reply) end", ""),
    Mutant("announce with any lease", "announce", "if agreed and others > 0 then", "if false then"),
    Mutant("a retry that is sent again takes another", "submit", "if mine and joinable(mine) then", "if false then"),
    Mutant("a failed job is left to its client", _TICKET, "if state ~= 'completed' then reclaim(id) end", ""),
    Mutant("an end that gives no bytes back", _MEMORY, "count_bytes(owner, -bytes)", ""),
    Mutant("a task that outlives its job", _MEMORY, "redis.call('DEL', KEY.task .. id)", ""),
    Mutant("what is appended holds nothing", "append", "t[9] + #blob", "t[9] + 0"),
    Mutant("submit beyond the owner's bytes", "submit", "bytes_of(owner) + bytes > own_bytes", "false"),
    Mutant(
        "submit tells of everybody's bytes first",
        "submit",
        "if counted and own_bytes",
        "if all_bytes ~= 0 and own_bytes",
    ),
    Mutant("submit beyond the bytes of all", "submit", "bytes_of(ALL) + bytes > all_bytes", "false"),
    Mutant("an end that is not retained", _MEMORY, "redis.call('ZADD', KEY.retained, now + keep * 1000, id)", ""),
    Mutant("retained for ever", "lapse", "redis.call('ZREMRANGEBYSCORE', KEY.retained, '-inf', now)", ""),
    Mutant("evict takes what may be read still", "evict", "t[2] == '' or now - t[1] >= READ_UNTIL", "true"),
    Mutant("evict takes the latest", "evict", "'ZRANGE', KEY.retained", "'ZREVRANGE', KEY.retained"),
    Mutant("evict by two at a time", "evict", "turn[1] ~= name and now >=", "false and now >="),
    Mutant("an end that is retained before it is stored", _TICKET, "if unarchived then", "if false then"),
    Mutant("what is to be stored is not listed", "submit", "redis.call('ZADD', KEY.unarchived, 0, id)", ""),
    Mutant("what was given is not there", "submit", "redis.call('SET', KEY.given .. id, given)", ""),
    Mutant("what was given holds nothing", "submit", " + #given + FRAME", " + FRAME"),
    Mutant("any number may wait to be stored", "submit", "ended >= most_unarchived or", "false or"),
    Mutant("any bytes may wait to be stored", "submit", "bytes_of(UNARCHIVED) > unarchived_bytes", "false"),
    Mutant("what waits to be stored holds nothing", _MEMORY, "add_bytes(of, bytes - task)", "add_bytes(of, 0)"),
    Mutant("what is stored holds on", _MEMORY, "add_bytes(of, -t[1])", "add_bytes(of, 0)"),
    Mutant("what is stored never ends", "archived", "    retire(id)\n", ""),
    Mutant("what is stored runs again", "archived", "    desert(id)\n", ""),
    Mutant("what the index has lost counts as stored", "archived", "if indexed == '1' and", "if false and"),
    Mutant("what was removed counts as stored", "archived", "if t[3] and dropped ~= '1' then", "if false then"),
    Mutant(
        "what is stored can be removed in part", "remove", "waits and 'state' or 'ended'", "waits and 'state' or ''"
    ),
    Mutant("an answer is handed out twice", "unarchived", "redis.call('ZADD', KEY.unarchived, now + patience, id)", ""),
    Mutant("answers are handed out before their time", "unarchived", "{ '(0', now }", "{ '(0', now + 5000 }"),
    Mutant(
        "a clock that jumped back keeps answers",
        "unarchived",
        ", { '(' .. now + math.max(patience, AT_ONCE), '+inf' }",
        "",
    ),
    Mutant("what is removed runs on", "remove", "\ncancel(id)", ""),
    Mutant("what is removed is put back", "remove", "redis.call('HDEL', ticket(id), 'deserted')", ""),
    Mutant("what is removed is found", "remove", "redis.call('DEL', KEY.given .. id)", ""),
    Mutant("an end that is not remembered", _TICKET, "pcall(remember, model, owner, numbers)", ""),
    Mutant("a history of everybody", _HISTORY, "<= MOST_OWNERS_TOLD", "<= MOST_OWNERS_TOLD + 1000"),
    Mutant("a history for ever", _HISTORY, "      redis.call('EXPIRE', bucket(seconds, of), lasts)\n", ""),
    Mutant("what is sampled stays for ever", _HISTORY, "  redis.call('EXPIRE', bucket(seconds, ALL), lasts)\n", ""),
    Mutant("an owner's end that is his alone", _HISTORY, "and { ALL, owner } or", "and { owner } or"),
    Mutant("the first token came last", "append", "tonumber(t[7] or 0) == 0", "true"),
    Mutant("slots that nobody samples", "sweep", "pcall(sample, model)\n", ""),
    Mutant("a failure of nobody", _TICKET, "'owner', owner, 'worker'", "'owner', '', 'worker'"),
    Mutant("what is put back waits to be stored, too", "submit", "  let_go(id) -- of what waits to be stored\n", ""),
)
