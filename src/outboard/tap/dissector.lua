-- Wireshark dissectors of vhost-user, of its back-end's channel, and of vhost-user-gpu, for captures of `outboard tap`.
-- Made by `outboard tap --dissector` from the declarations that outboard itself reads and writes by; not to be edited.
--
--     wireshark -X lua_script:outboard.lua tap.pcapng
--
-- Tables: STRUCTS by name; PROTOCOLS: requests and replies by number. A field has name, offset, size and how its number
-- is written (form, bits, parts), or the structure or list that it is.

--@TABLES@

local fields, seen_fields = {}, {}
local HEADER = { { "request", 0 }, { "flags", 4 }, { "size", 8 } }
local P2P_SENT = 0

local function make(proto, key, name, field)
    local abbr = proto.name:lower() .. "." .. key
    local id = proto.name .. "/" .. key
    if seen_fields[id] then return end
    local made
    if field.form == "bytes" then
        made = ProtoField.bytes(abbr, name)
    elseif field.form == "i" then
        made = ProtoField.int32(abbr, name)
    elseif field.form == "fourcc" then
        made = ProtoField.string(abbr, name)
    else
        made = ProtoField["uint" .. 8 * field.size](abbr, name, field.form == "x" and base.HEX or base.DEC)
    end
    seen_fields[id] = made
    fields[proto.name][#fields[proto.name] + 1] = made
end

-- UInt64 keeps all bits; what fits a Lua number is one.
local function number_at(range, size, little)
    if size == 8 then return little and range:le_uint64() or range:uint64() end
    return little and range:le_uint() or range:uint()
end

local function halves(number)
    if type(number) == "number" then return number, 0 end
    return number:lower(), number:higher()
end

local function hexadecimal(number)
    local low, high = halves(number)
    if high == 0 then return string.format("0x%x", low) end
    return string.format("0x%x%08x", high, low)
end

local function has(word, mask)
    return math.floor(word / mask) % 2 == 1
end

local function bit_names(number, bits)
    local low, high = halves(number)
    local names = {}
    for _, one in ipairs(bits) do
        local word = one.high and high or low
        if has(word, one.mask) then
            names[#names + 1] = one.name
            if one.high then high = high - one.mask else low = low - one.mask end
        end
    end
    if high > 0 then
        names[#names + 1] = string.format("0x%x%08x", high, low)
    elseif low > 0 then
        names[#names + 1] = string.format("0x%x", low)
    end
    return #names > 0 and table.concat(names, "|") or "none"
end

local function text_of(range, field, little, meaning)
    if field.form == "bytes" then return tostring(range:bytes()):lower() end
    if meaning.form == "fourcc" then
        local letters = range:string()
        return letters:match("^%w+$") and letters or hexadecimal(number_at(range, field.size, little))
    end
    if meaning.form == "i" then return tostring(little and range:le_int() or range:int()) end
    local number = number_at(range, field.size, little)
    if meaning.bits then return bit_names(number, meaning.bits) end
    if meaning.form == "x" then return hexadecimal(number) end
    return tostring(number)
end

local walk

local function one_field(proto, struct, field, range, tree, path, values, meaning)
    local key = struct.key .. "." .. field.name
    local item
    if meaning.form == "fourcc" then
        item = tree:add(seen_fields[proto.name .. "/" .. key], range, text_of(range, field, struct.little, meaning))
    elseif struct.little and field.form ~= "bytes" then
        item = tree:add_le(seen_fields[proto.name .. "/" .. key], range)
    else
        item = tree:add(seen_fields[proto.name .. "/" .. key], range)
    end
    if meaning.parts then
        local low = halves(number_at(range, field.size, struct.little))
        for _, part in ipairs(meaning.parts) do
            local value = math.floor(low / part.low) % (part.span)
            values[path .. field.name .. "." .. part.name] = tostring(value)
            item:append_text(", " .. part.name .. " " .. value)
        end
    else
        local words = text_of(range, field, struct.little, meaning)
        values[path .. field.name] = words
        if meaning.bits then item:append_text(" (" .. words .. ")") end
    end
end

local function list(proto, struct, range, tree, name, template, values)
    local told, at = {}, 0
    local count = math.min(math.floor(range:len() / struct.size), 512)
    while at < count do
        local piece = range(at * struct.size, struct.size)
        local own = { at = tostring(at) }
        if tostring(piece:bytes()):match("[^0]") then
            local branch = tree:add(piece, name .. "[" .. at .. "]")
            walk(proto, struct, piece, branch, "", own, {})
            told[#told + 1] = (template:gsub("{([^}]+)}", function(key) return own[key] or "?" end))
        end
        at = at + 1
    end
    values[name] = table.concat(told, ", ")
end

walk = function(proto, struct, range, tree, path, values, value_meaning)
    for _, field in ipairs(struct) do
        if field.offset >= range:len() then return end
        local room = math.min(field.size, range:len() - field.offset)
        local piece = range(field.offset, room)
        if field.struct then
            local inner = STRUCTS[field.struct]
            walk(proto, inner, piece, tree:add(piece, field.name), path .. field.name .. ".", values, value_meaning)
        elseif field.list then
            list(proto, STRUCTS[field.list], piece, tree:add(piece, field.name), field.name, field.told, values)
        elseif room == field.size then
            local meaning = field.name == "value" and value_meaning.form and value_meaning or field
            one_field(proto, struct, field, piece, tree, path, values, meaning)
        end
    end
end

local function payload(proto, protocol, shape, tvb, tree, values, size)
    local at, fill = 12, tvb:len()
    local struct = shape.payload and STRUCTS[shape.payload]
    if struct and fill > at then
        walk(proto, struct, tvb(at, math.min(struct.size, fill - at)), tree, "", values, shape.value or {})
    end
    at = at + (struct and struct.size or 0)
    if fill > at and shape.tail and shape.tail.struct then
        list(proto, STRUCTS[shape.tail.struct], tvb(at), tree, shape.tail.name, shape.tail.told, values)
    elseif fill > at then
        local name = shape.tail and shape.tail.name or "more"
        tree:add(seen_fields[proto.name .. "/data"], tvb(at)):set_text(name .. ", " .. size + 12 - at .. " bytes")
        values[name] = tostring(tvb(at):bytes()):lower()
    end
end

local function summary(shape, values, size)
    if shape.refusable and size == 0 then return "refused, no payload" end
    if shape.told == "{ack}" then return values.value and (values.value == "0x0" and "ok" or "refused") or "" end
    return (shape.told:gsub("{([^}]+)}", function(key) return values[key] or "?" end))
end

local LITTLE = @LITTLE@

local function dissect(proto, protocol, tvb, pinfo, root)
    pinfo.cols.protocol = protocol.name
    if tvb:len() < 12 then return 0 end
    local tree = root:add(proto, tvb())
    local number = {}
    for _, one in ipairs(HEADER) do
        local range = tvb(one[2], 4)
        number[one[1]] = LITTLE and range:le_uint() or range:uint()
        local field = seen_fields[proto.name .. "/" .. one[1]]
        if LITTLE then tree:add_le(field, range) else tree:add(field, range) end
    end
    local to_backend = pinfo.p2p_dir == P2P_SENT
    pinfo.cols.src = to_backend and "front-end" or "back-end"
    pinfo.cols.dst = to_backend and "back-end" or "front-end"
    local reply = to_backend ~= protocol.asks_backend
    local shape = (reply and protocol.replies or protocol.requests)[number.request]
    local name = protocol.names[number.request] or ("unknown " .. number.request)
    tree:add(seen_fields[proto.name .. "/name"], tvb(0, 4), name):set_generated()
    tree:add(seen_fields[proto.name .. "/reply"], reply):set_generated()
    local values, words = {}, number.size .. " bytes"
    if shape then
        payload(proto, protocol, shape, tvb, tree, values, number.size)
        words = summary(shape, values, number.size)
    elseif tvb:len() > 12 then
        tree:add(seen_fields[proto.name .. "/data"], tvb(12))
    end
    words = words == "" and name or name .. " " .. words
    tree:append_text(", " .. words)
    pinfo.cols.info = words
    return tvb:len()
end

local function declare(proto, protocol)
    fields[proto.name] = {}
    local own = {
        request = ProtoField.uint32(protocol.name .. ".request", "request", base.DEC, protocol.names),
        flags = ProtoField.uint32(protocol.name .. ".flags", "flags", base.HEX),
        size = ProtoField.uint32(protocol.name .. ".size", "size", base.DEC),
        name = ProtoField.string(protocol.name .. ".name", "name"),
        reply = ProtoField.bool(protocol.name .. ".reply", "reply"),
        data = ProtoField.bytes(protocol.name .. ".data", "data"),
    }
    for key, field in pairs(own) do
        seen_fields[proto.name .. "/" .. key] = field
        table.insert(fields[proto.name], field)
    end
    for _, name in ipairs(protocol.structs) do
        for _, field in ipairs(STRUCTS[name]) do
            if field.form then make(proto, STRUCTS[name].key .. "." .. field.name, field.name, field) end
        end
    end
    proto.fields = fields[proto.name]
    proto.dissector = function(tvb, pinfo, root) return dissect(proto, protocol, tvb, pinfo, root) end
end

for _, protocol in ipairs(PROTOCOLS) do
    declare(Proto(protocol.name, protocol.title), protocol)
end

local data = Proto("@DATA@", "what follows a long vhost-user message")
data.dissector = function(tvb, pinfo, root)
    pinfo.cols.protocol = "@DATA@"
    pinfo.cols.info = "more of the message before, " .. tvb:len() .. " bytes"
    root:add(data, tvb())
    return tvb:len()
end
