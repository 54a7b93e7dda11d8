-- Handlers: an ordered list of pattern and function; the first that claims a message gets it.
local rt = ...

local utils = {}
rt.utils = utils

-- One tag value against one pattern: "_" takes anything, a function decides, a text with magic characters is a Lua pattern and any other
-- text must be equal, a table means any of its entries.
function utils.matchesPattern(pattern, value, msg)
  if not pattern then return false end
  if pattern == "_" then return true end
  local kind = type(pattern)
  if kind == "function" then return pattern(value, msg) and true or false end
  if kind == "string" then
    if value == pattern then return true end
    return type(value) == "string" and pattern:find("[%^%$%(%)%%%.%[%]%*%+%?]") ~= nil and value:match(pattern) ~= nil
  end
  if kind == "table" then
    for _, entry in ipairs(pattern) do
      if utils.matchesPattern(entry, value, msg) then return true end
    end
    return false
  end
  return pattern == value
end

-- A whole message against a specification: a function, an Action, or a table of field or tag to pattern, all of which must match.
function utils.matchesSpec(msg, spec)
  local kind = type(spec)
  if kind == "function" then return spec(msg) end
  if kind == "string" then return msg.Action == spec end
  if kind ~= "table" then return false end
  local tags = msg.Tags or {}
  for key, pattern in next, spec do
    local field, tag = msg[key], tags[key]
    if not field and not tag then return false end
    if not (utils.matchesPattern(pattern, field, msg) or utils.matchesPattern(pattern, tag, msg)) then return false end
  end
  return true
end

Handlers = { _version = "0.0.5", list = {} }
local Handlers = Handlers

local function is_callable(value)
  if type(value) == "function" then return true end
  local meta = type(value) == "table" and getmetatable(value)
  return type(meta) == "table" and type(meta.__call) == "function"
end

-- A table of specification to function chooses by the first key that matches (keys in a fixed order).
local function resolver_of(spec)
  if is_callable(spec) then return spec end
  if type(spec) ~= "table" then error("handle must be a function or a table of resolvers", 4) end
  return function(msg)
    for _, key in ipairs(rt.sorted_keys(spec)) do
      if utils.matchesSpec(msg, key) then return resolver_of(spec[key])(msg) end
    end
    error("no resolver matches the message")
  end
end

local function index_of(name)
  for i, entry in ipairs(Handlers.list) do
    if entry.name == name then return i end
  end
end

-- (name, pattern, handle [, max runs]) or (name, handle [, max runs]) where the name is the Action to match.
local function entry_of(...)
  local name, pattern, handle, runs = ...
  local count = select("#", ...)
  if count == 1 then
    handle, pattern = name, function() return true end
  elseif count == 2 or type(handle) == "number" then
    pattern, handle, runs = { Action = name }, pattern, handle
  end
  if type(name) ~= "string" then error("handler: name must be a string", 3) end
  if pattern == nil then error("handler '" .. name .. "': a pattern is expected", 3) end
  -- `action` repeats a pattern that is a plain Action, so that evaluate need not ask for its kind
  return { name = name, pattern = pattern, action = type(pattern) == "string" and pattern or nil, handle = resolver_of(handle), maxRuns = runs }
end

-- Replaces the handler of that name in its place, else puts the entry at `position` (the end where absent).
local function put(entry, position)
  local at = index_of(entry.name)
  if at then
    local old = Handlers.list[at]
    old.pattern, old.action, old.handle, old.maxRuns = entry.pattern, entry.action, entry.handle, entry.maxRuns
  elseif position then
    table.insert(Handlers.list, position, entry)
  else
    table.insert(Handlers.list, entry)
  end
end

-- The default and the library's own handlers stay behind and before what programs add.
function Handlers.add(...) put(entry_of(...)) end
function Handlers.append(...) put(entry_of(...)) end
function Handlers.prepend(...) put(entry_of(...), 1) end

local function placed(offset)
  return function(other)
    return {
      add = function(...)
        local at = index_of(other)
        if not at then error("handler '" .. tostring(other) .. "' does not exist", 2) end
        put(entry_of(...), at + offset)
      end,
    }
  end
end
Handlers.before = placed(0)
Handlers.after = placed(1)

function Handlers.remove(name)
  local at = index_of(name)
  if at then table.remove(Handlers.list, at) end
end

-- A handler for one message; without a name it gets one of its own. It goes first, so that it can take replies others would.
Handlers.onceNonce = 0
function Handlers.once(...)
  local name, pattern, handle = ...
  if select("#", ...) < 3 then
    pattern, handle = name, pattern
    Handlers.onceNonce = Handlers.onceNonce + 1
    name = "_once_" .. Handlers.onceNonce
  end
  put(entry_of(name, pattern, handle, 1), 1)
end

-- Suspends the running handler until a message matches; the message is its value.
function Handlers.receive(spec)
  local co, is_main = coroutine.running()
  if is_main then error("receive: only a handler can wait for messages", 2) end
  Handlers.once(spec, function(msg)
    local results = table.pack(coroutine.resume(co, msg))
    if not results[1] then error(results[2], 0) end
    -- the handler's own protected call ended: its error is the error of this message
    if coroutine.status(co) == "dead" and results[2] == false then error(results[3], 0) end
  end)
  return coroutine.yield(spec)
end
Receive = Handlers.receive

-- What a pattern's answer means: go on to the next handler, run this one and stop, or run it and go on.
local function verdict(answer)
  if answer == true then return "break" end
  if answer == nil or answer == false or answer == "skip" or answer == 0 then return "skip" end
  if answer == "continue" or answer == 1 then return "continue" end
  return "break"
end

-- Where `entry` is now; if it is gone, the place before the one it left.
local function position_of(entry, was)
  for i = 1, #Handlers.list do
    if Handlers.list[i] == entry then return i end
  end
  return was - 1
end

-- Offers a message to the handlers in order; what none claims goes to the default.
function Handlers.evaluate(msg, env)
  if type(msg) ~= "table" then error("Handlers.evaluate: a message is expected", 2) end
  local handled, list = false, Handlers.list
  local matches, action = utils.matchesSpec, msg.Action
  local i, entry = 1, list[1]
  while entry do
    -- an Action is by far the commonest pattern
    local pattern, answer = entry.pattern, "skip"
    if pattern == action then
      if action ~= nil then answer = "break" end
    elseif entry.action ~= pattern then
      answer = verdict(matches(msg, pattern))
    end
    if answer ~= "skip" then
      if entry.maxRuns then
        if entry.maxRuns <= 1 then Handlers.remove(entry.name) else entry.maxRuns = entry.maxRuns - 1 end
      end
      entry.handle(msg, env)
      handled = true
      if answer == "break" then return end
      -- the handler may have added or removed others: go on behind itself, wherever it is now
      list = Handlers.list
      if list[i] ~= entry then i = position_of(entry, i) end
    end
    i = i + 1
    entry = list[i]
  end
  if not handled then rt.default_handler(msg) end
end

-- Helpers of aos for patterns and handles.
local function continue(pattern)
  return function(msg)
    local answer = verdict(utils.matchesSpec(msg, pattern))
    return answer == "break" and "continue" or answer
  end
end

Handlers.utils = {
  matchesPattern = utils.matchesPattern,
  matchesSpec = utils.matchesSpec,
  continue = continue,
  hasMatchingTag = function(name, value)
    return function(msg) return (msg.Tags or {})[name] == value end
  end,
  hasMatchingTagOf = function(name, values)
    return function(msg)
      for _, value in ipairs(values) do
        if (msg.Tags or {})[name] == value then return true end
      end
      return false
    end
  end,
  hasMatchingData = function(value)
    return function(msg) return msg.Data == value end
  end,
  reply = function(answer)
    return function(msg)
      return msg.reply(type(answer) == "string" and { Data = answer } or answer)
    end
  end,
}
Handlers.generateResolver = resolver_of
Handlers.matchesSpec = utils.matchesSpec

rt.provide("handlers", Handlers)
rt.provide("handlers-utils", Handlers.utils)
