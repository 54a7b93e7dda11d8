-- The life of a process: boot with the module's source, then one message after another.
local rt = ...

Owner, Name, Errors = nil, nil, {}

-- boot{Environment, Source, Name, Format}: the environment is kept for good; the module's source runs once, before any message.
function rt.boot(boot)
  local env = boot.Environment
  rt.env = env
  ao.init(env)
  Owner = rt.tag(env.Process.Tags, "From-Process")
  if not Owner or Owner == "" then Owner = env.Process.Owner end
  Name = rt.tag(env.Process.Tags, "Name") or "aos"
  rt.handle = rt.handle_message
  if boot.Source ~= "" then
    local chunk, problem = load(boot.Source, "=" .. boot.Name, "t", _G)
    if not chunk then error(problem, 0) end
    rt.begin_output()
    local value = chunk()
    rt.select_driver(value)
    ao.clearOutbox()
  end
  return true
end

local function error_text(text)
  local prints = rt.printed_text()
  return (prints ~= "" and (prints .. "\n\n") or "") .. Colors.red .. "error:\n" .. Colors.reset .. tostring(text)
end

local function output(msg, is_eval)
  local printed = #HANDLER_PRINT_LOGS > 0
  local own = ao.outbox.Output
  if type(own) == "table" and next(own) ~= nil or type(own) == "string" and own ~= "" then return own end
  return { data = rt.printed_text(), prompt = rt.prompt(), print = (printed and not is_eval) or nil }
end

-- Runs f(msg) in a coroutine, so that it may wait for other messages (`receive`). True, or false and the error.
local function run(f, msg)
  local co = coroutine.create(function() return pcall(f, msg, ao.env) end)
  local resumed, ok, problem = coroutine.resume(co)
  if not resumed then return false, ok end
  if coroutine.status(co) == "suspended" then return true end
  return ok, problem
end

local function is_own_item(msg)
  return msg.Id == ao.id and msg.Tags.Type == "Process"
end

-- The process item itself is the first message; with On-Boot: Data its data runs as the owner's source would.
local function first_message(msg)
  if msg.Tags["On-Boot"] == "Data" and msg.Data and msg.Data ~= "" then
    local chunk, problem = load(msg.Data, "aos", "t", _G)
    if not chunk then error(problem, 0) end
    chunk()
  end
end

local function refuse(kind, msg)
  print(kind .. " is not trusted! From: " .. tostring(msg.From) .. " - Owner: " .. tostring(msg.Owner))
  return { Messages = {}, Spawns = {}, Assignments = {}, Output = output(msg) }
end

function rt.handle_message(msg)
  rt.now_ms = msg.Timestamp or 0
  rt.begin_output()
  ao.clearOutbox()
  ao.nonce = msg.Nonce or ao.nonce
  ao.normalize(msg)

  local f, is_eval = Handlers.evaluate, false
  if is_own_item(msg) then
    f = first_message
  elseif not ao.isTrusted(msg) then
    return refuse("Message", msg)
  elseif ao.isAssignment(msg) and not ao.isAssignable(msg) then
    return refuse("Assignment", msg)
  elseif rt.is_eval(msg) then
    f, is_eval = rt.eval, true
  end

  local ok, problem = run(f, msg)
  if not ok then return { Error = error_text(problem), Messages = {}, Spawns = {}, Assignments = {} } end
  return ao.result { Output = output(msg, is_eval) }
end

rt.handle = rt.handle_message

rt.provide("process", { _version = ao._version, handle = function(msg) return rt.handle(msg) end })
