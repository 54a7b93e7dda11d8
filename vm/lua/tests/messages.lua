-- What lands in the outbox for what a program sends.
local function tag(entry, name)
  local values = {}
  for _, t in ipairs(entry.Tags) do
    if t.name == name then values[#values + 1] = t.value end
  end
  return table.concat(values, ",")
end

local first = ao.reference
local sent = Send { Target = "T", Action = "Go", Data = "d", Tags = { X = "1" }, Count = 7 }
local entry = ao.outbox.Messages[1]
expect(entry.Target, "T")
expect(entry.Data, "d")
expect(entry.Anchor, ("%032d"):format(first + 1))
expect(tag(entry, "Reference"), tostring(first + 1))
for name, value in pairs { Action = "Go", X = "1", Count = "7", ["Data-Protocol"] = "ao", Variant = "ao.TN.1", Type = "Message" } do expect(tag(entry, name), value) end
expect(type(sent.receive), "function")

Send { Target = "T", Tags = { { name = "A", value = "1" }, { name = "A", value = "2" } } }
expect(tag(ao.outbox.Messages[2], "A"), "1,2")
Send { Target = "T", Data = { b = 1, a = 2 } }
expect(ao.outbox.Messages[3].Data, '{"a":2,"b":1}')

local msg = ao.normalize { Id = "M", From = "F", Owner = "F", Target = ao.id, Tags = { { name = "Reference", value = "9" }, { name = "Action", value = "Ask" }, { name = "From", value = "EVE" } } }
expect(msg.From, "F")
expect(msg.Action, "Ask")
expect(msg.Tags.Action, "Ask")
expect(msg.TagArray[2].name, "Action")
msg.reply { Data = "r" }
entry = ao.outbox.Messages[4]
expect(entry.Target, "F")
expect(tag(entry, "X-Reference"), "9")
msg.forward("G", { Extra = "e" })
entry = ao.outbox.Messages[5]
expect(entry.Target, "G")
expect(tag(entry, "Action") .. tag(entry, "Extra") .. tag(entry, "X-Origin") .. tag(entry, "Reply-To"), "AskeFF")

Spawn("MODULE", { Data = "s", Name = "kid" })
entry = ao.outbox.Spawns[1]
for name, value in pairs { Module = "MODULE", Type = "Process", Name = "kid", ["From-Process"] = ao.id, Authority = "MU" } do expect(tag(entry, name), value) end
expect(entry.Data, "s")

Assign { Processes = { "P1", "P2" }, Message = "M" }
expect(ao.outbox.Assignments[1].Processes[2], "P2")
fails(function() Assign { Processes = "P1", Message = "M" } end, "Processes must be a list")
fails(function() ao.send("x") end, "a table is expected")

expect(ao.result { Error = "e" }.Messages, nil)
expect(#ao.result {}.Messages, 5)
local function trusted(from, owner) return ao.isTrusted { From = from, Owner = owner } end
expect(trusted("W", "W") and trusted("P", "MU") and trusted("MU", "X"), true)
expect(trusted("P", "X"), false)
ao.clearOutbox()
