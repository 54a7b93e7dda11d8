-- A counter that anybody may add to.
Total = Total or 0

Handlers.add("add", "Add", function(msg)
  Total = Total + tonumber(msg.Tags.Quantity)
  print(string.format("%s added, %d in all", msg.Tags.Quantity, Total))
end)
