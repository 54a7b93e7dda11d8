-- Programs in the style of `lua@5.3a`: one function compute(base, request, options), tables in, table out.
--
-- `base` is the process's state: what the function returned last, at first the process item. Its `results` leave with the evaluation:
-- results.output, results.outbox with keys "1".."n" (a plain list is taken as well), results.status == "error" with results.error.
local rt = ...

local base

-- Tags and fields as such programs see them: one table, keys in lower case, data as `data`.
local function flatten(msg)
  local flat = {}
  for _, entry in ipairs(msg.Tags or {}) do flat[entry.name:lower()] = entry.value end
  flat.id, flat.target, flat.anchor, flat.owner = msg.Id, msg.Target, msg.Anchor, msg.Owner
  flat.data = msg.Data
  if msg.Id then
    flat.commitments = { [msg.Id] = { committer = msg.Owner, type = "rsa-pss-sha256", ["commitment-device"] = "ans104@1.0", signature = msg.Signature } }
  end
  return flat
end

local function request_of(msg)
  return {
    path = "compute", process = ao.id, slot = msg.Nonce, epoch = msg.Epoch, timestamp = msg.Timestamp, ["block-height"] = msg["Block-Height"],
    ["hash-chain"] = msg["Hash-Chain"], cron = msg.Cron or nil, ["read-only"] = msg["Read-Only"] or nil, body = flatten(msg),
  }
end

local FIELDS = { target = true, data = true, anchor = true, tags = true, commitments = true, method = true, path = true }

local function outgoing(entry)
  local tags, lower = {}, {}
  for key, value in next, entry do
    if type(key) == "string" then lower[key:lower()] = value end
  end
  for _, key in ipairs(rt.sorted_keys(entry)) do
    local value = entry[key]
    if type(key) == "string" and not FIELDS[key:lower()] and type(value) ~= "table" and type(value) ~= "function" then
      tags[#tags + 1] = { name = key, value = tostring(value) }
    end
  end
  local given = lower.tags
  if type(given) == "table" and given[1] ~= nil then
    for _, tag in ipairs(given) do tags[#tags + 1] = { name = tag.name, value = tostring(tag.value) } end
  elseif type(given) == "table" then
    for _, key in ipairs(rt.sorted_keys(given)) do tags[#tags + 1] = { name = key, value = tostring(given[key]) } end
  end
  ao.reference = ao.reference + 1
  local anchor = lower.anchor or rt.native.anchor(ao.reference)
  return { Target = lower.target, Data = lower.data ~= nil and tostring(lower.data) or "", Anchor = anchor, Tags = tags }, lower.type
end

-- Keys "1".."n" in number order; other keys after them in byte order.
local function entries_of(outbox)
  local entries = {}
  local n = 1
  local seen = {}
  while true do
    local key = tostring(n)
    local entry = outbox[key] or outbox[n]
    if entry == nil then break end
    entries[n], seen[key], seen[n] = entry, true, true
    n = n + 1
  end
  for _, key in ipairs(rt.sorted_keys(outbox)) do
    if not seen[key] then entries[#entries + 1] = outbox[key] end
  end
  return entries
end

local function output_of(results)
  local given = results.output
  if given == nil then given = results.data end
  if type(given) == "table" then
    given.prompt = given.prompt or rt.prompt()
    return given
  end
  local printed = rt.printed_text()
  local text = given ~= nil and tostring(given) or ""
  if printed ~= "" then text = text ~= "" and (printed .. "\n" .. text) or printed end
  return { data = text, prompt = rt.prompt() }
end

local function handle_compute(msg)
  rt.now_ms = msg.Timestamp or 0
  rt.begin_output()
  ao.nonce = msg.Nonce or ao.nonce
  base.results = nil
  local ok, first, second = pcall(compute, base, request_of(msg), {})
  if not ok then return { Error = tostring(first) } end
  local status, state = "ok", first
  if type(first) == "string" then status, state = first, second end
  if status ~= "ok" then return { Error = rt.show(state) } end
  if type(state) ~= "table" then return { Error = "compute returned no state: a table is expected, got " .. type(state) } end
  local results = type(state.results) == "table" and state.results or {}
  if results.status == "error" or results.error then return { Error = rt.show(results.error or results.output or "error") } end
  base = state
  local result = { Messages = {}, Spawns = {}, Assignments = {}, Output = output_of(results) }
  for _, entry in ipairs(entries_of(type(results.outbox) == "table" and results.outbox or {})) do
    if type(entry) == "table" then
      local message, kind = outgoing(entry)
      if kind == "Process" then
        message.Target = nil
        table.insert(result.Spawns, message)
      else
        table.insert(result.Messages, message)
      end
    end
  end
  return result
end

-- After the module's source ran: a program that defines `compute` and no handlers is driven by it.
function rt.select_driver(value)
  if type(value) == "table" and type(value.compute) == "function" and compute == nil then compute = value.compute end
  if type(compute) == "function" and #Handlers.list == 0 then
    local process = flatten { Id = ao.id, Owner = ao.env.Process.Owner, Tags = ao.env.Process.Tags }
    base = { process = process, authority = process.authority, scheduler = process.scheduler, module = process.module, device = "process@1.0", type = "Process" }
    rt.handle = handle_compute
  end
end
