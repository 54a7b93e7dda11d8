-- A token: its owner mints, whoever has some passes it on.
Balances = Balances or {}

local function add(account, quantity)
  Balances[account] = (Balances[account] or 0) + quantity
end

Handlers.add("mint", "Mint", function(msg)
  assert(msg.From == Owner, "only the owner mints")
  add(msg.From, tonumber(msg.Tags.Quantity))
end)

Handlers.add("transfer", "Transfer", function(msg)
  local quantity = tonumber(msg.Tags.Quantity)
  assert(quantity and quantity > 0, "a quantity is needed")
  assert((Balances[msg.From] or 0) >= quantity, "not enough")
  add(msg.From, -quantity)
  add(msg.Tags.Recipient, quantity)
  print(string.format("%d to %s", quantity, msg.Tags.Recipient))
end)
