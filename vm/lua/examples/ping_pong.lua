-- Two processes of this module play: `Start` with a Partner sends the first Ping; each Ping is answered by a Pong, each Pong by the next
-- Ping, until Rounds are over.
Rounds = Rounds or 3
Pings, Pongs = Pings or 0, Pongs or 0

Handlers.add("start", "Start", function(msg)
  Rounds = tonumber(msg.Rounds) or Rounds
  Send { Target = msg.Partner, Action = "Ping", Round = "1" }
  print("the first Ping went to " .. tostring(msg.Partner))
end)

Handlers.add("ping", "Ping", function(msg)
  Pings = Pings + 1
  msg.reply { Action = "Pong", Round = msg.Round, Data = "pong " .. tostring(msg.Round) }
  print("Ping " .. tostring(msg.Round) .. " from " .. msg.From)
end)

Handlers.add("pong", "Pong", function(msg)
  Pongs = Pongs + 1
  local round = (tonumber(msg.Round) or 0) + 1
  print("Pong " .. tostring(msg.Round) .. " from " .. msg.From)
  if round <= Rounds then Send { Target = msg.From, Action = "Ping", Round = tostring(round) } end
end)

Handlers.add("score", "Score", function(msg)
  msg.reply { Data = ("pings %d, pongs %d"):format(Pings, Pongs) }
end)
