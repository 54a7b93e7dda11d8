-- Answers every Ping.
Pings = Pings or 0

Handlers.add("ping", "Ping", function(msg)
  Pings = Pings + 1
  Send({ Target = msg.From, Action = "Pong" })
end)
