-- Which handlers run for a message, by pattern.
local function ran(setup, msg)
  local before, log = Handlers.list, {}
  Handlers.list = {}
  setup(function(name) return function() log[#log + 1] = name end end)
  msg.From, msg.Owner = msg.From or "someone", msg.Owner or "someone"
  ao.normalize(msg)
  Handlers.evaluate(msg, ao.env)
  local left = #Handlers.list
  Handlers.list = before
  return table.concat(log, ","), left
end

local function tags(t)
  local list = {}
  for name, value in pairs(t) do list[#list + 1] = { name = name, value = value } end
  return { Tags = list }
end

-- one pattern, one message: does it match
for i, case in ipairs {
  { "Ping", { Action = "Ping" }, true }, { "Ping", { Action = "Pong" }, false }, { { Action = "Ping" }, { Action = "Ping", X = "1" }, true },
  { { Action = "Ping", X = "_" }, { Action = "Ping", X = "1" }, true }, { { Action = "Ping", X = "_" }, { Action = "Ping" }, false },
  { { Quantity = "^%d+$" }, { Quantity = "12" }, true }, { { Quantity = "^%d+$" }, { Quantity = "1x" }, false },
  { { Action = { "A", "B" } }, { Action = "B" }, true }, { { Action = { "A", "B" } }, { Action = "C" }, false },
  { { X = function(v) return v == "7" end }, { X = "7" }, true }, { { X = function() return false end }, { X = "7" }, false },
  { { ["With-Dash"] = "a-b" }, { ["With-Dash"] = "a-b" }, true }, { { X = "a.b" }, { X = "a.b" }, true }, { { X = "a(b" }, { X = "a(b" }, true },
  { function() return true end, {}, true }, { function() return "skip" end, {}, false }, { function() return -1 end, {}, true }, { function() return 0 end, {}, false },
  { Handlers.utils.hasMatchingTag("Action", "Go"), { Action = "Go" }, true }, { Handlers.utils.hasMatchingData("x"), { Action = "Go" }, false },
  { Handlers.utils.hasMatchingTagOf("Action", { "Go", "Stop" }), { Action = "Stop" }, true },
} do
  expect(ran(function(log) Handlers.add("h", case[1], log("h")) end, tags(case[2])), case[3] and "h" or "", "case " .. i)
end

-- several handlers, one message
for i, case in ipairs {
  { function(log) Handlers.add("a", "Go", log "a") Handlers.add("b", "Go", log "b") end, "a", 2 },
  { function(log) Handlers.add("a", "Go", log "a") Handlers.prepend("b", "Go", log "b") end, "b", 2 },
  { function(log) Handlers.add("a", Handlers.utils.continue("Go"), log "a") Handlers.append("b", "Go", log "b") end, "a,b", 2 },
  { function(log) Handlers.add("a", function() return "continue" end, log "a") Handlers.add("b", function() return 1 end, log "b") end, "a,b", 2 },
  { function(log) Handlers.add("a", "Go", log "a") Handlers.before("a").add("b", "Go", log "b") end, "b", 2 },
  { function(log) Handlers.add("a", "No", log "a") Handlers.add("c", "Go", log "c") Handlers.after("a").add("b", "Go", log "b") end, "b", 3 },
  { function(log) Handlers.add("a", "Go", log "a") Handlers.add("b", "Go", log "b") Handlers.remove("a") end, "b", 1 },
  { function(log) Handlers.add("a", "Go", log "old") Handlers.add("a", "Go", log "new") end, "new", 1 },
  { function(log) Handlers.add("Go", log "by name") end, "by name", 1 },
  { function(log) Handlers.once("a", "Go", log "a") end, "a", 0 },
  { function(log) Handlers.once("Go", log "a") end, "a", 0 },
  { function(log) Handlers.add("a", "Go", log "a", 2) end, "a", 1 },
  { function(log) Handlers.add("a", { Action = "Go" }, { [{ X = "1" }] = log "one", [{ Action = "Go" }] = log "go" }) end, "go", 1 },
  { function(log)
      local b = log "b"
      Handlers.add("a", function() return "continue" end, function() log("a")() Handlers.remove("a") end)
      Handlers.add("b", "Go", b)
    end, "a,b", 1 },
} do
  local log, left = ran(case[1], tags { Action = "Go" })
  expect(log, case[2], "case " .. i)
  expect(left, case[3], "handlers left in case " .. i)
end

fails(function() Handlers.add("x", "y", 7) end, "function or a table")
fails(function() Handlers.before("nobody").add("x", "y", print) end, "does not exist")
