-- ao: the process's identity, its outbox, and whom it trusts.
local rt = ...
local native = rt.native

-- Entries of one evaluation (limits.rs, OUTBOX_ENTRIES_MAX): the host refuses more as well.
local OUTBOX_MAX = 10000

ao = { _version = "2.0.6", id = "", _module = "", authorities = {}, assignables = {}, reference = 0, env = {}, nonce = 0 }

function ao.clearOutbox()
  ao.outbox = { Output = {}, Messages = {}, Spawns = {}, Assignments = {} }
end
ao.clearOutbox()

-- Value of the last tag of that name, as the table form of tags keeps it.
local function tag(tags, name)
  local found
  for _, entry in ipairs(tags or {}) do
    if entry.name == name then found = entry.value end
  end
  return found
end
rt.tag = tag

-- Reads the process's settings from its own tags.
function ao.init(env)
  ao.env = env
  ao.id = env.Process.Id
  ao._module = env.Module and env.Module.Id or tag(env.Process.Tags, "Module") or ""
  ao.authorities = {}
  for _, entry in ipairs(env.Process.Tags) do
    if entry.name == "Authority" then
      for address in entry.value:gmatch("[^,%s]+") do ao.authorities[#ao.authorities + 1] = address end
    end
  end
end

-- Whether From may speak (protocol.md, section 10): a wallet for itself, or what an authority vouches for.
function ao.isTrusted(msg)
  if msg.From == msg.Owner then return true end
  local authorities = ao.authorities
  for i = 1, #authorities do
    local authority = authorities[i]
    if msg.From == authority or msg.Owner == authority then return true end
  end
  return false
end

-- An item that somebody assigned to this process although it was addressed elsewhere.
function ao.isAssignment(msg)
  return msg.Target ~= ao.id
end

function ao.addAssignable(name, spec)
  if spec == nil then name, spec = nil, name end
  for _, entry in ipairs(ao.assignables) do
    if name ~= nil and entry.name == name then
      entry.pattern = spec
      return
    end
  end
  table.insert(ao.assignables, { name = name, pattern = spec })
end

function ao.removeAssignable(name)
  for i, entry in ipairs(ao.assignables) do
    if entry.name == name then return table.remove(ao.assignables, i) end
  end
end

function ao.isAssignable(msg)
  for _, entry in ipairs(ao.assignables) do
    if rt.utils.matchesSpec(msg, entry.pattern) then return true end
  end
  return false
end

local function add_tags(list, tags)
  if type(tags) ~= "table" then return end
  if tags[1] ~= nil then
    for _, entry in ipairs(tags) do list[#list + 1] = { name = entry.name, value = tostring(entry.value) } end
  else
    for _, name in ipairs(rt.sorted_keys(tags)) do list[#list + 1] = { name = name, value = tostring(tags[name]) } end
  end
end

-- Everything at the top of an outgoing message that is not a field of its own becomes a tag.
local FIELDS = { Target = true, Data = true, Anchor = true, Tags = true, TagArray = true, From = true, receive = true, onReply = true, reply = true, forward = true }

local function add_root_tags(list, msg)
  if native.root_tags(list, msg, FIELDS) then return end
  for _, name in ipairs(rt.sorted_keys(msg)) do
    local value = msg[name]
    if not FIELDS[name] and type(name) == "string" and type(value) ~= "function" and type(value) ~= "table" then
      list[#list + 1] = { name = name, value = tostring(value) }
    end
  end
end

local function next_reference()
  ao.reference = ao.reference + 1
  return tostring(ao.reference), native.anchor(ao.reference)
end

local function put(kind, entry)
  local box = ao.outbox[kind]
  if #box >= OUTBOX_MAX then error("ao: the outbox is full, at most " .. OUTBOX_MAX .. " " .. kind .. " per evaluation", 3) end
  box[#box + 1] = entry
end

local function data_of(msg)
  local data = msg.Data
  if data == nil then return "" end
  local kind = type(data)
  if kind == "string" then return data end
  if kind == "table" then return require("json").encode(data) end
  return tostring(data)
end

-- What waits for replies to a sent message. Most messages are never asked for it, so it is made when they are.
local waiting = {
  onReply = function(sent, target, reference)
    return function(first, second)
      local from, resolver = target, first
      if second ~= nil then from, resolver = first, second end
      Handlers.once({ From = from, ["X-Reference"] = reference }, resolver)
      return sent
    end
  end,
  receive = function(_, target, reference)
    return function(from) return Handlers.receive { From = from or target, ["X-Reference"] = reference } end
  end,
}
local sent_meta = {
  __index = function(sent, name)
    local make = waiting[name]
    if not make then return nil end
    local made = make(sent, sent.Target, (sent.Anchor:gsub("^0+", "")))
    sent[name] = made
    return made
  end,
}

-- Puts a message into the outbox. The answer can wait for replies: `.receive()` suspends the handler until one comes, `.onReply(f)` calls f.
function ao.send(msg)
  if type(msg) ~= "table" then error("ao.send: a table is expected, got " .. type(msg), 2) end
  local reference, anchor = next_reference()
  local tags = {
    { name = "Data-Protocol", value = "ao" }, { name = "Variant", value = "ao.TN.1" }, { name = "Type", value = "Message" }, { name = "Reference", value = reference },
  }
  add_root_tags(tags, msg)
  add_tags(tags, msg.Tags)
  local target = msg.Target ~= nil and tostring(msg.Target) or nil
  put("Messages", { Target = target, Data = data_of(msg), Anchor = anchor, Tags = tags })

  return setmetatable({ Target = target, Data = msg.Data, Anchor = anchor, Tags = tags }, sent_meta)
end

-- Asks for a new process. `Spawned` comes back with its id: `.receive()` and `.onReply(f)` wait for that.
function ao.spawn(module, msg)
  if type(module) ~= "string" then error("ao.spawn: the module's id is expected, got " .. type(module), 2) end
  if type(msg) ~= "table" then error("ao.spawn: a table is expected, got " .. type(msg), 2) end
  local reference, anchor = next_reference()
  local tags = {
    { name = "Data-Protocol", value = "ao" }, { name = "Variant", value = "ao.TN.1" }, { name = "Type", value = "Process" },
    { name = "From-Process", value = ao.id }, { name = "From-Module", value = ao._module }, { name = "Module", value = module }, { name = "Reference", value = reference },
  }
  add_root_tags(tags, msg)
  add_tags(tags, msg.Tags)
  if not tag(tags, "Authority") then
    for _, authority in ipairs(ao.authorities) do tags[#tags + 1] = { name = "Authority", value = authority } end
  end
  put("Spawns", { Data = data_of(msg), Anchor = anchor, Tags = tags })

  local spawned = { Data = msg.Data, Anchor = anchor, Tags = tags }
  local spec = { Action = "Spawned", From = ao.id, Reference = reference }
  function spawned.onReply(resolver)
    Handlers.once(spec, resolver)
    return spawned
  end
  spawned.after = spawned.onReply
  function spawned.receive() return Handlers.receive(spec) end
  return spawned
end

-- Asks for an existing item to be assigned to processes.
function ao.assign(assignment)
  if type(assignment) ~= "table" then error("ao.assign: a table is expected, got " .. type(assignment), 2) end
  if type(assignment.Processes) ~= "table" then error("ao.assign: Processes must be a list of ids", 2) end
  if type(assignment.Message) ~= "string" then error("ao.assign: Message must be an id", 2) end
  put("Assignments", assignment)
end

-- The result of an evaluation: what is given, completed from the outbox. An error drops everything else.
function ao.result(result)
  result = result or {}
  if ao.outbox.Error or result.Error then return { Error = result.Error or ao.outbox.Error } end
  return {
    Messages = result.Messages or ao.outbox.Messages, Spawns = result.Spawns or ao.outbox.Spawns,
    Assignments = result.Assignments or ao.outbox.Assignments, Output = result.Output or ao.outbox.Output,
  }
end

-- Observers of the host have no ear here; accepted so that programs written for other nodes run.
function ao.event() end
function ao.log(text) print(text) end

-- Tags as a table, name to value.
function Tab(msg)
  local tags = {}
  for _, entry in ipairs(msg.Tags or {}) do tags[entry.name] = entry.value end
  return tags
end

-- Fields of a message that a tag of the same name must not replace.
local RESERVED = {}
for _, name in ipairs {
  "Id", "Signature", "Data", "Owner", "Target", "Anchor", "From", "Forwarded-By", "Tags", "TagArray", "Epoch", "Nonce", "Timestamp", "Block-Height", "Hash-Chain", "Cron", "Read-Only",
  "Data-Protocol", "Variant", "Type", "From-Process", "From-Module", "Pushed-For", "reply", "forward",
} do
  RESERVED[name] = true
end

-- Adds what aos programs expect of a message: Tags as a table, TagArray, every tag as a field, reply and forward.
function ao.normalize(msg)
  local array = msg.Tags
  if array == nil then
    array = {}
    msg.Tags = array
  end
  local tags = native.lift_tags(msg, RESERVED)
  msg.TagArray, msg.Tags = array, tags
  function msg.reply(answer)
    answer = answer or {}
    answer.Target = msg["Reply-To"] or answer.Target or msg.From
    answer["X-Reference"] = msg["X-Reference"] or msg.Reference
    answer["X-Origin"] = msg["X-Origin"]
    return ao.send(answer)
  end
  function msg.forward(target, changes)
    local copy = { Data = msg.Data }
    for name, value in next, tags do
      if not RESERVED[name] and name ~= "Reference" then copy[name] = value end
    end
    for name, value in next, changes or {} do copy[name] = value end
    copy.Target = target
    copy["Reply-To"] = msg["Reply-To"] or msg.From
    copy["X-Reference"] = msg["X-Reference"] or msg.Reference
    copy["X-Origin"] = msg["X-Origin"] or msg.From
    return ao.send(copy)
  end
  return msg
end

-- A message's own fields, without what normalize added.
function ao.sanitize(msg)
  local copy = {}
  for name, value in next, msg do
    if type(value) ~= "function" then copy[name] = value end
  end
  return copy
end

-- What the console shows of something put into the outbox; programs find `receive` and `onReply` in it.
local OF_SENT = { receive = true, onReply = true, after = true }
local shown = {
  __tostring = function(handle) return handle.output end,
  __index = function(handle, name)
    if OF_SENT[name] then return handle.sent[name] end
  end,
}

local function handle(text, sent)
  return setmetatable({ output = text, sent = sent }, shown)
end

function Send(msg)
  if type(msg) == "table" and not msg.Target then print("WARN: no Target: the message is stored, but no process receives it.") end
  return handle("Message added to outbox", ao.send(msg))
end

function Spawn(...)
  local module, msg = ...
  if select("#", ...) == 1 then module, msg = ao._module, module end
  return handle("Spawn process request added to outbox", ao.spawn(module, msg))
end

function Assign(assignment)
  ao.assign(assignment)
  return "Assignment added to outbox."
end

rt.provide("ao", ao)
