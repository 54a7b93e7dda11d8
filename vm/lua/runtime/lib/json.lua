-- json: encode and decode. Object keys leave in byte order; null reads as nil; nesting is bounded both ways.
local rt = ...
local json = { _version = "1.0.0" }

local DEPTH_MAX = 200

local ESCAPES = { ['"'] = '\\"', ["\\"] = "\\\\", ["\b"] = "\\b", ["\f"] = "\\f", ["\n"] = "\\n", ["\r"] = "\\r", ["\t"] = "\\t" }

local function quoted(text)
  return '"' .. text:gsub('[%c"\\\127]', function(c) return ESCAPES[c] or ("\\u%04x"):format(c:byte()) end) .. '"'
end

local function number_text(value)
  if math.type(value) == "integer" then return ("%d"):format(value) end
  if value ~= value or value == math.huge or value == -math.huge then error("json: a number that is not finite has no form", 0) end
  local text = ("%.14g"):format(value)
  return tonumber(text) == value and text or ("%.17g"):format(value)
end

local function is_array(tbl)
  local length, count = #tbl, 0
  for key in next, tbl do
    if math.type(key) ~= "integer" or key < 1 or key > length then return false end
    count = count + 1
  end
  return count == length
end

local encode

local function encode_table(tbl, out, seen, depth)
  if seen[tbl] then error("json: a table contains itself", 0) end
  if depth > DEPTH_MAX then error("json: nesting is deeper than " .. DEPTH_MAX, 0) end
  seen[tbl] = true
  if is_array(tbl) then
    out[#out + 1] = "["
    for i = 1, #tbl do
      if i > 1 then out[#out + 1] = "," end
      encode(tbl[i], out, seen, depth + 1)
    end
    out[#out + 1] = "]"
  else
    out[#out + 1] = "{"
    for i, key in ipairs(rt.sorted_keys(tbl)) do
      local kind = type(key)
      if kind ~= "string" and kind ~= "number" then error("json: a key of type " .. kind .. " has no form", 0) end
      if i > 1 then out[#out + 1] = "," end
      out[#out + 1] = quoted(tostring(key))
      out[#out + 1] = ":"
      encode(tbl[key], out, seen, depth + 1)
    end
    out[#out + 1] = "}"
  end
  seen[tbl] = nil
end

encode = function(value, out, seen, depth)
  local kind = type(value)
  if kind == "string" then out[#out + 1] = quoted(value)
  elseif kind == "number" then out[#out + 1] = number_text(value)
  elseif kind == "boolean" then out[#out + 1] = value and "true" or "false"
  elseif kind == "nil" then out[#out + 1] = "null"
  elseif kind == "table" then encode_table(value, out, seen, depth)
  else error("json: a value of type " .. kind .. " has no form", 0) end
end

function json.encode(value)
  local out = {}
  encode(value, out, {}, 1)
  return table.concat(out)
end

local function fail(text, at, what)
  local _, line = text:sub(1, at):gsub("\n", "\n")
  error(("json: %s at byte %d (line %d)"):format(what, at, line + 1), 0)
end

local UNESCAPES = { ['"'] = '"', ["\\"] = "\\", ["/"] = "/", b = "\b", f = "\f", n = "\n", r = "\r", t = "\t" }

-- From the byte after the opening quote; the text and the byte after the closing one.
local function string_at(text, at)
  local stop = text:find('["\\%c]', at)
  if not stop then fail(text, #text, "a string does not end") end
  if text:byte(stop) == 34 then return text:sub(at, stop - 1), stop + 1 end
  local parts = {}
  while true do
    stop = text:find('["\\%c]', at)
    if not stop then fail(text, #text, "a string does not end") end
    parts[#parts + 1] = text:sub(at, stop - 1)
    local byte = text:byte(stop)
    if byte == 34 then return table.concat(parts), stop + 1 end
    if byte ~= 92 then
      if byte ~= 127 then fail(text, stop, "a control character in a string") end
      parts[#parts + 1] = "\127"
      at = stop + 1
    elseif text:sub(stop + 1, stop + 1) == "u" then
      local code = tonumber(text:match("^%x%x%x%x", stop + 2) or fail(text, stop, "a bad escape"), 16)
      at = stop + 6
      if code >= 0xD800 and code < 0xDC00 then
        local low = tonumber(text:match("^\\u(%x%x%x%x)", at) or "0", 16)
        if low >= 0xDC00 and low < 0xE000 then
          code, at = 0x10000 + (code - 0xD800 << 10) + (low - 0xDC00), at + 6
        end
      end
      parts[#parts + 1] = utf8.char(code >= 0xD800 and code < 0xE000 and 0xFFFD or code)
    else
      parts[#parts + 1] = UNESCAPES[text:sub(stop + 1, stop + 1)] or fail(text, stop, "a bad escape")
      at = stop + 2
    end
  end
end

local value_at

local function skip(text, at) return text:find("[^ \t\r\n]", at) or #text + 1 end

local function array_at(text, at, depth)
  local list, n = {}, 0
  at = skip(text, at)
  if text:byte(at) == 93 then return list, at + 1 end
  while true do
    n = n + 1
    list[n], at = value_at(text, at, depth)
    at = skip(text, at)
    local byte = text:byte(at)
    if byte == 93 then return list, at + 1 end
    if byte ~= 44 then fail(text, at, "']' or ',' is expected") end
    at = at + 1
  end
end

local function object_at(text, at, depth)
  local object = {}
  at = skip(text, at)
  if text:byte(at) == 125 then return object, at + 1 end
  while true do
    at = skip(text, at)
    if text:byte(at) ~= 34 then fail(text, at, "a key is expected") end
    local key
    key, at = string_at(text, at + 1)
    at = skip(text, at)
    if text:byte(at) ~= 58 then fail(text, at, "':' is expected") end
    object[key], at = value_at(text, at + 1, depth)
    at = skip(text, at)
    local byte = text:byte(at)
    if byte == 125 then return object, at + 1 end
    if byte ~= 44 then fail(text, at, "'}' or ',' is expected") end
    at = at + 1
  end
end

local WORDS = { t = { "true", true }, f = { "false", false }, n = { "null", nil } }

value_at = function(text, at, depth)
  at = skip(text, at)
  local c = text:sub(at, at)
  if c == '"' then return string_at(text, at + 1) end
  if c == "{" or c == "[" then
    if depth >= DEPTH_MAX then fail(text, at, "nesting is deeper than " .. DEPTH_MAX) end
    return (c == "{" and object_at or array_at)(text, at + 1, depth + 1)
  end
  local word = WORDS[c]
  if word then
    if text:sub(at, at + #word[1] - 1) ~= word[1] then fail(text, at, "a value is expected") end
    return word[2], at + #word[1]
  end
  local number = text:match("^-?%d+%.?%d*[eE]?[+-]?%d*", at)
  local value = number and tonumber(number)
  if not value or number:find("^-?0%d") then fail(text, at, c == "" and "the text ends early" or "a value is expected") end
  return value, at + #number
end

function json.decode(text)
  if type(text) ~= "string" then error("json: a text is expected, got " .. type(text), 2) end
  local value, at = value_at(text, 1, 0)
  at = skip(text, at)
  if at <= #text then fail(text, at, "text after the value") end
  return value
end

return json
