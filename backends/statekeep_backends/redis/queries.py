"""Scripts that list documents by their records.

They walk through an order in pieces, and read the descriptions of documents only where necessary.
"""

from __future__ import annotations

from typing import Final

from statekeep_backends.redis.scripts import COMMON, Script

__all__ = ["COUNT", "QUERY"]

_LISTING = """
local asked = cjson.decode(ARGV[1])
local below, known = asked.below, asked.known
local low, high = ARGV[2], ARGV[3]
local places = asked.place and {asked.place} or call('SMEMBERS', base .. 'places')

local function is_below(key)
    return string.sub(key, 1, #below) == below
end

local function index(place)
    if asked.by_user then return base .. 'user:' .. place .. '\\0' .. asked.by_user end
    return base .. asked.order .. ':' .. place
end

local function listed(place)
    return base .. 'listed:' .. place
end

local function says_too_little(place)
    return call('ZCOUNT', base .. 'v:' .. place, '-inf', '(' .. known)
end

local function meets(text, is_sure)
    if not text then return false end
    -- Compares JSON text: as only statekeep writes it, this is as good as decoding, and faster.
    for _, field in ipairs(asked.equal) do
        if not string.find(text, field, 1, true) then return false end
    end
    if is_sure then return true end
    local record = cjson.decode(text)
    if record.v < known then return false end
    for _, bound in ipairs(asked.bounds) do
        local found = record[bound[1]]
        if not found then return false end
        -- Digits, all of one length: whatever the server's locale.
        if bound[2] == '<' and found >= bound[3] then return false end
        if bound[2] == '>' and found <= bound[3] then return false end
    end
    return true
end

-- Calls `visit` with the matching keys of an order until it returns true; `some` are enough.
local function walk(place, some, visit)
    local is_sure = #asked.bounds == 0 and says_too_little(place) == 0
    local all = is_sure and #asked.equal == 0
    local step = all and math.min(some, 1000) or 1000
    local from = low
    while true do
        local found = call('ZRANGEBYLEX', index(place), from, high, 'LIMIT', 0, step)
        local keys, members = {}, {}
        for _, member in ipairs(found) do
            local key = string.match(member, '.*%z(.*)')
            if is_below(key) then
                keys[#keys + 1], members[#members + 1] = key, member
            end
        end
        local texts = not all and #keys > 0 and call('HMGET', listed(place), unpack(keys))
        for n, key in ipairs(keys) do
            if all or meets(texts[n], is_sure) then
                if visit(key, members[n]) then return end
            end
        end
        if #found < step then return end
        from = '(' .. found[#found]
    end
end
"""

QUERY: Final = Script(f"""{COMMON}{_LISTING}
local limit = asked.limit or math.huge
local rows, problems, missing = {{}}, {{}}, {{}}
for _, place in ipairs(places) do
    local left = limit
    if left > 0 then
        walk(place, left, function(key, member)
            local about = call('HMGET', base .. 'd:' .. key, 'version', 'modified', 'record')
            if not about[1] then return false end
            rows[#rows + 1] = {{member, key, about[1], about[2], about[3]}}
            left = left - 1
            return left == 0
        end)
    end
    for _, key in ipairs(call('ZRANGEBYLEX', base .. 'problem:' .. place, '-', '+')) do
        local text = is_below(key) and call('HGET', listed(place), key)
        if text and cjson.decode(text).v >= known then
            local about = call('HMGET', base .. 'd:' .. key, 'version', 'modified', 'record')
            if about[1] then problems[#problems + 1] = {{'', key, unpack(about)}} end
        end
    end
    if says_too_little(place) > 0 then
        local lacking = call('ZRANGEBYSCORE', base .. 'v:' .. place, '-inf', '(' .. known)
        for _, key in ipairs(lacking) do
            if is_below(key) then missing[#missing + 1] = key end
        end
    end
end
return {{rows, problems, missing}}
""")
"""Takes the query, and the bounds of members. Returns rows, problems and incomplete records; for
each row and problem, what it is sorted by, its key, version, time and record. With several places,
it returns up to the limit for each of them."""

COUNT: Final = Script(f"""{COMMON}{_LISTING}
local number = 0
for _, place in ipairs(places) do
    local all = #asked.equal + #asked.bounds == 0 and says_too_little(place) == 0
    if all and below == place .. '/' then
        number = number + call('ZLEXCOUNT', index(place), low, high)
    else
        walk(place, 1000, function() number = number + 1 end)
    end
end
return number
""")
"""Takes the same as `QUERY`."""
