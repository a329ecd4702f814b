"""The scripts that the server runs, each of which is atomic for everyone else.

All keys of a store start with its base, which has a hash tag, so they are in one slot and a script
can touch any of them. ``d:KEY`` is a hash that describes a document and ``b:KEY`` holds its bytes;
``keys`` lists all documents. In addition, for each place (what is listed together):

- ``v:PLACE``: all its documents, by the ``v`` of their records, 0 without one;
- ``updated_at:PLACE``, ``created_at:PLACE``, ``size:PLACE``: those with a record, in this order;
- ``user:PLACE NUL USER``: those of a user, in the order of ``updated_at``;
- ``problem:PLACE``: those that cannot be read;
- ``listed:PLACE``: a hash of what each record is found by, so that a filter can read many at once.

A member of an order starts with what it is sorted by and ends with a NUL and the document's key.
All scores there are 0, so members are in the order of their bytes.

A server that is full, is a replica, or cannot persist refuses the first write of a script, and
nothing is done. So the first write is always one that needs memory, or else frees it.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Final

__all__ = [
    "APPEND",
    "COMMON",
    "DELETE",
    "FORMAT",
    "GET",
    "INSPECT",
    "PUT",
    "SCAN",
    "SET_RECORDS",
    "VERSIONS",
    "Script",
]

FORMAT: Final = "1"
"""The format of what is below a base; a server's keys with another format are not touched."""

COMMON = f"""
local base, call = KEYS[1], redis.call
local format = redis.pcall('GET', base .. 'format')
if type(format) == 'table' then return redis.error_reply('STATEKEEP foreign') end
if format and format ~= '{FORMAT}' then return redis.error_reply('STATEKEEP ' .. format) end
"""
"""The start of every script."""

_WRITING = f"""
local function refuses(now, expect)
    if expect == '*' then return false end
    if expect == '-' then return now end
    return now ~= string.sub(expect, 2)
end

-- The sorted sets that a document is in, each with its member there.
local function standing(place, key, listed)
    local sets = {{}}
    for _, order in ipairs({{'updated_at', 'created_at', 'size'}}) do
        if listed[order] then sets[base .. order .. ':' .. place] = listed[order] .. listed.tail end
    end
    if listed.user_id and listed.updated_at then
        sets[base .. 'user:' .. place .. '\\0' .. listed.user_id] = listed.updated_at .. listed.tail
    end
    if listed.problem then sets[base .. 'problem:' .. place] = key end
    return sets
end

local function listed_of(place, key)
    return call('HGET', base .. 'listed:' .. place, key)
end

local function decoded(listed)
    return listed and listed ~= '' and cjson.decode(listed) or {{}}
end

-- Leaves alone what has not changed: most saves change one order and nothing else.
local function move(place, key, was, is)
    was, is = decoded(was), decoded(is)
    local before, after = standing(place, key, was), standing(place, key, is)
    for name, member in pairs(before) do
        if after[name] ~= member then call('ZREM', name, member) end
    end
    for name, member in pairs(after) do
        if before[name] ~= member then call('ZADD', name, 0, member) end
    end
    if was.v ~= is.v then call('ZADD', base .. 'v:' .. place, is.v or 0, key) end
end

local function keep_record(key, place, listed, record)
    local about, all = base .. 'd:' .. key, base .. 'listed:' .. place
    if listed == '' then
        call('HDEL', about, 'record')
        call('HDEL', all, key)
    else
        call('HSET', about, 'record', record)
        call('HSET', all, key, listed)
    end
end

-- Everything about a document whose bytes were written.
local function describe(key, version, bytes, place, now, listed, record)
    local about, time = base .. 'd:' .. key, call('TIME')
    local modified = time[1] .. string.format('%06d', time[2])
    call('HSET', about, 'version', version, 'bytes', bytes, 'modified', modified)
    local was = listed_of(place, key)
    keep_record(key, place, listed, record)
    if not now then
        if not format then call('SET', base .. 'format', '{FORMAT}') end
        call('ZADD', base .. 'keys', 0, key)
        call('ZADD', base .. 'v:' .. place, 0, key)
        call('SADD', base .. 'places', place)
    end
    move(place, key, was, listed)
end
"""

_READING = """
local function read(key, most)
    local about = call('HMGET', base .. 'd:' .. key, 'version', 'modified', 'bytes')
    if not about[1] then return false end
    local fits = tonumber(about[3]) <= tonumber(most)
    about[4] = fits and call('GET', base .. 'b:' .. key)
    return about
end
"""


@dataclass(frozen=True, slots=True)
class Script:
    """A script that the server runs.

    Attributes:
        source: In Lua; its one key is the base of a store.
        digest: How a server recognizes a script that it has run before.
    """

    source: str
    digest: str = field(init=False)

    def __post_init__(self) -> None:
        digest = hashlib.sha1(self.source.encode(), usedforsecurity=False).hexdigest()
        object.__setattr__(self, "digest", digest)


GET: Final = Script(f"""{COMMON}{_READING}
local found, room = {{}}, tonumber(ARGV[1])
for n = 2, #ARGV, 2 do
    found[#found + 1] = read(ARGV[n], ARGV[n + 1])
    local last = found[#found]
    room = room - (last and last[4] and #last[4] or 0)
    if room <= 0 then break end
end
return found
""")
"""Takes how many bytes are enough, and for each document its key and maximum size. Returns for each
document its version, time, size and bytes, or nothing, in this order; stops when there are enough
bytes."""

SCAN: Final = Script(f"""{COMMON}
local found = call('ZRANGEBYLEX', base .. 'keys', ARGV[1], ARGV[2], 'LIMIT', 0, ARGV[3])
local rows = {{}}
for n, key in ipairs(found) do
    local about = call('HMGET', base .. 'd:' .. key, 'bytes', 'modified', 'version')
    rows[n] = {{key, about[1], about[2], about[3]}}
end
return rows
""")
"""Takes the bounds of keys, and a maximum number. Returns key, size, time and version of each."""

VERSIONS: Final = Script(f"""{COMMON}
local found = {{}}
for n, key in ipairs(ARGV) do found[n] = call('HGET', base .. 'd:' .. key, 'version') end
return found
""")
"""Takes keys; returns the version of each document, or nothing."""

PUT: Final = Script(f"""{COMMON}{_WRITING}
local key, data, expect, version, place, listed, record = unpack(ARGV)
local now = call('HGET', base .. 'd:' .. key, 'version')
if refuses(now, expect) then return {{0, now}} end
call('SET', base .. 'b:' .. key, data)
describe(key, version, #data, place, now, listed, record)
return {{1}}
""")
"""Takes a key, bytes, what is expected, the new version, and place and record. Returns 1; or 0 and
the version that is there, or nothing if nothing is."""

APPEND: Final = Script(f"""{COMMON}{_WRITING}
local key, data, expect, version, place, listed, record, most = unpack(ARGV)
local now, bytes = unpack(call('HMGET', base .. 'd:' .. key, 'version', 'bytes'))
if refuses(now, expect) then return {{0, now}} end
local whole = bytes + #data
if whole > tonumber(most) then return {{2, whole}} end
if call('STRLEN', base .. 'b:' .. key) ~= tonumber(bytes) then return {{3}} end
call('APPEND', base .. 'b:' .. key, data)
describe(key, version, whole, place, now, listed, record)
return {{1}}
""")
"""Like `PUT`, and takes the maximum size. Returns 2 and the size it would have, if it is larger; 3
if what is there is not whole."""

DELETE: Final = Script(f"""{COMMON}{_WRITING}
local done = {{}}
for n = 1, #ARGV, 3 do
    local key, expect, place = ARGV[n], ARGV[n + 1], ARGV[n + 2]
    local about = base .. 'd:' .. key
    local now = call('HGET', about, 'version')
    if refuses(now, expect) then
        done[#done + 1] = {{0, now}}
    else
        if now then
            call('DEL', base .. 'b:' .. key, about)
            move(place, key, listed_of(place, key), '')
            call('HDEL', base .. 'listed:' .. place, key)
            call('ZREM', base .. 'keys', key)
            call('ZREM', base .. 'v:' .. place, key)
            if call('EXISTS', base .. 'v:' .. place) == 0 then
                call('SREM', base .. 'places', place)
            end
        end
        done[#done + 1] = {{1}}
    end
end
return done
""")
"""Takes for each document its key, what is expected, and its place. Returns for each the same as
`PUT`."""

INSPECT: Final = Script(f"""{COMMON}
local found = call('ZRANGEBYLEX', base .. 'keys', ARGV[1], '+', 'LIMIT', 0, ARGV[2])
local torn = {{}}
for _, key in ipairs(found) do
    local bytes = call('HGET', base .. 'd:' .. key, 'bytes')
    if not bytes or call('STRLEN', base .. 'b:' .. key) ~= tonumber(bytes) then
        torn[#torn + 1] = key
    end
end
return {{found[#found] or false, torn}}
""")
"""Takes a bound of keys, and a maximum number. Returns the last key, and those not whole."""

SET_RECORDS: Final = Script(f"""{COMMON}{_WRITING}
for n = 1, #ARGV, 5 do
    local key, version, place, listed, record = unpack(ARGV, n, n + 4)
    if call('HGET', base .. 'd:' .. key, 'version') == version then
        local was = listed_of(place, key)
        keep_record(key, place, listed, record)
        move(place, key, was, listed)
    end
end
return 1
""")
"""Takes for each document its key, the version that the record describes, place and record."""
