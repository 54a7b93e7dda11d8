-- Colours, and values as text for people.
local rt = ...

Colors = { red = "\27[31m", green = "\27[32m", blue = "\27[34m", reset = "\27[0m", gray = "\27[90m" }

local stringify = {}

-- Text of one value may grow to this many bytes; what exceeds it is cut with a mark.
local TEXT_MAX = 256 * 1024
local DEPTH_MAX = 16

local function is_identifier(text) return text:match("^[%a_][%w_]*$") ~= nil end

-- Keys in a fixed order: numbers ascending, then texts in byte order, then the rest by kind.
function rt.sorted_keys(tbl)
  local keys = {}
  for key in next, tbl do keys[#keys + 1] = key end
  table.sort(keys, function(a, b)
    local ta, tb = type(a), type(b)
    if ta ~= tb then return ta < tb end
    if ta == "number" or ta == "string" then return a < b end
    return tostring(a) < tostring(b)
  end)
  return keys
end

local function quoted(text)
  return '"' .. text:gsub('[%c"\\]', function(c)
    if c == '"' or c == "\\" then return "\\" .. c end
    if c == "\n" then return "\\n" end
    return c == "\27" and c or ("\\%d"):format(c:byte())
  end) .. '"'
end

local function put(state, text)
  state.size = state.size + #text
  if state.size > TEXT_MAX then
    if not state.cut then
      state.cut = true
      state[#state + 1] = " ..."
    end
    return
  end
  state[#state + 1] = text
end

local function format(state, value, indent, depth, colored)
  if state.cut then return end
  local kind = type(value)
  if kind == "string" then
    if #value > TEXT_MAX then value = value:sub(1, TEXT_MAX + 1) end
    put(state, colored and (Colors.green .. quoted(value) .. Colors.reset) or quoted(value))
  elseif kind ~= "table" then
    local shade = colored and (kind == "number" or kind == "boolean") and Colors.blue
    put(state, shade and (shade .. tostring(value) .. Colors.reset) or tostring(value))
  elseif state.seen[value] then
    put(state, "<circular reference>")
  elseif depth > DEPTH_MAX then
    put(state, "{ ... }")
  elseif next(value) == nil then
    put(state, "{ }")
  else
    state.seen[value] = true
    local inner = indent .. "   "
    put(state, "{\n")
    local length, first = #value, true
    for _, key in ipairs(rt.sorted_keys(value)) do
      if not first then put(state, ",\n") end
      first = false
      put(state, inner)
      if math.type(key) ~= "integer" or key < 1 or key > length then
        local name = type(key) == "string" and (is_identifier(key) and key or "[" .. quoted(key) .. "]") or "[" .. tostring(key) .. "]"
        put(state, (colored and (Colors.red .. name .. Colors.reset) or name) .. " = ")
      end
      format(state, rawget(value, key), inner, depth + 1, colored)
    end
    put(state, "\n" .. indent .. "}")
    state.seen[value] = nil
  end
end

-- A table as indented text with colours, as a console shows it.
function stringify.format(value)
  local state = { size = 0, seen = {} }
  format(state, value, "", 1, true)
  return table.concat(state)
end

-- The same without colours: can be read back where it holds only plain values.
function stringify.dump(value)
  local state = { size = 0, seen = {} }
  format(state, value, "", 1, false)
  return table.concat(state)
end

stringify.isSimpleArray = function(tbl)
  for i, value in ipairs(tbl) do
    if type(value) ~= "string" and type(value) ~= "number" then return false end
    if i == #tbl then break end
  end
  return true
end
setmetatable(stringify, { __call = function(_, value) return stringify.format(value) end })

Dump = stringify.dump
rt.stringify = stringify
rt.provide("stringify", stringify)

-- What a console prints for a value.
function rt.show(value)
  local meta = type(value) == "table" and getmetatable(value)
  if type(value) == "table" and not (type(meta) == "table" and rawget(meta, "__tostring")) then return stringify.format(value) end
  return tostring(value)
end
