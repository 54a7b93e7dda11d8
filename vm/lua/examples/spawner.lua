-- Spawns children of its own module (or of the one named by the tag Child-Module), remembers them and says hello to each.
Children = Children or {}

Handlers.add("spawn", "Spawn-Child", function(msg)
  local module = msg["Child-Module"] or ao._module
  local child = ao.spawn(module, { Data = msg.Data or "", Tags = { Name = msg["Child-Name"] or "child" } }).receive()
  Children[#Children + 1] = child.Process
  Send { Target = child.Process, Action = "Hello", Data = "hello, child " .. #Children }
  msg.reply { Action = "Child", Process = child.Process, Data = child.Process }
end)

Handlers.add("hello", "Hello", function(msg)
  print("hello from " .. msg.From)
end)

Handlers.add("children", "Children", function(msg)
  msg.reply { Data = require("json").encode(Children) }
end)
