-- A token: balances in the smallest unit, held as big integers, spoken as decimal text.
--
-- Actions: Info, Balance, Balances, Transfer (Recipient, Quantity; answers with Debit-Notice and Credit-Notice unless Cast), Mint (owner only).
local bint = require(".bint")(256)

Denomination = Denomination or 12
Ticker = Ticker or "AOX"
TokenName = TokenName or "Example token"
Balances = Balances or { [ao.id] = bint(10000) * bint(10) ^ Denomination }
TotalSupply = TotalSupply or Balances[ao.id]

local ZERO = bint.zero()

local function balance_of(account) return Balances[account] or ZERO end

-- A quantity above zero as a big integer, or nil and what is wrong with it.
local function quantity_of(msg)
  local text = msg.Quantity
  if type(text) ~= "string" or not text:find("^%d+$") or #text > 77 then return nil, "Quantity must be a whole number" end
  local quantity = bint.fromstring(text)
  if not (ZERO < quantity) then return nil, "Quantity must be greater than 0" end
  return quantity
end

local function refuse(msg, action, problem)
  msg.reply { Action = action, ["Message-Id"] = msg.Id, Error = problem, Data = problem }
end

Handlers.add("info", "Info", function(msg)
  msg.reply { Name = TokenName, Ticker = Ticker, Denomination = tostring(Denomination), Logo = Logo or "" }
end)

Handlers.add("balance", "Balance", function(msg)
  local account = msg.Recipient or msg.Target ~= ao.id and msg.Target or msg.From
  local balance = tostring(balance_of(account))
  msg.reply { Action = "Balance-Notice", Balance = balance, Ticker = Ticker, Account = account, Data = balance }
end)

Handlers.add("balances", "Balances", function(msg)
  local texts = {}
  for account, balance in pairs(Balances) do texts[account] = tostring(balance) end
  msg.reply { Data = require("json").encode(texts) }
end)

Handlers.add("transfer", "Transfer", function(msg)
  local recipient = msg.Recipient
  if type(recipient) ~= "string" or recipient == "" then return refuse(msg, "Transfer-Error", "Recipient is required") end
  local quantity, problem = quantity_of(msg)
  if not quantity then return refuse(msg, "Transfer-Error", problem) end
  local available = balance_of(msg.From)
  if available < quantity then return refuse(msg, "Transfer-Error", "Insufficient balance") end

  local left = available - quantity
  Balances[msg.From] = ZERO < left and left or nil
  Balances[recipient] = balance_of(recipient) + quantity
  if msg.Cast then return end
  local debit = { Action = "Debit-Notice", Recipient = recipient, Quantity = msg.Quantity, Data = "You transferred " .. msg.Quantity .. " to " .. recipient }
  local credit = { Target = recipient, Action = "Credit-Notice", Sender = msg.From, Quantity = msg.Quantity, Data = "You received " .. msg.Quantity .. " from " .. msg.From }
  for name, value in pairs(msg.Tags) do
    if name:sub(1, 2) == "X-" and name ~= "X-Reference" and name ~= "X-Origin" then debit[name], credit[name] = value, value end
  end
  msg.reply(debit)
  Send(credit)
end)

Handlers.add("mint", "Mint", function(msg)
  if msg.From ~= Owner then return refuse(msg, "Mint-Error", "Only the owner may mint") end
  local quantity, problem = quantity_of(msg)
  if not quantity then return refuse(msg, "Mint-Error", problem) end
  local recipient = msg.Recipient or msg.From
  Balances[recipient] = balance_of(recipient) + quantity
  TotalSupply = TotalSupply + quantity
  msg.reply { Action = "Mint-Notice", Quantity = msg.Quantity, Data = "Minted " .. msg.Quantity .. " for " .. recipient }
end)

Handlers.add("total-supply", "Total-Supply", function(msg)
  msg.reply { Action = "Total-Supply", Ticker = Ticker, Data = tostring(TotalSupply) }
end)
