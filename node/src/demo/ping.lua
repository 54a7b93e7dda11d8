-- Sends Ping to its peer, and again for every Pong, until there are none left.
Pongs = Pongs or 0

Handlers.add("start", "Start", function(msg)
  Peer, Left = msg.Tags.Peer, tonumber(msg.Tags.Rounds)
  Send({ Target = Peer, Action = "Ping" })
end)

Handlers.add("pong", "Pong", function(msg)
  Pongs, Left = Pongs + 1, Left - 1
  if Left > 0 then
    Send({ Target = Peer, Action = "Ping" })
  end
end)
