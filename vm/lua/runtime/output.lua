-- print: lines are collected and leave with the result of the message (Output.data). It returns nothing: an Eval shows what its source
-- returns, and would show the last line twice.
local rt = ...

-- Lines of one evaluation, in bytes; the rest is dropped with a mark.
local PRINT_MAX = 1024 * 1024

function rt.begin_output()
  HANDLER_PRINT_LOGS = {}
  rt.printed = 0
end
rt.begin_output()

function print(...)
  local parts = table.pack(...)
  for i = 1, parts.n do parts[i] = rt.show(parts[i]) end
  local line = table.concat(parts, " ", 1, parts.n)
  if rt.printed > PRINT_MAX then return end
  rt.printed = rt.printed + #line + 1
  if rt.printed > PRINT_MAX then line = "... (further output is dropped)" end
  HANDLER_PRINT_LOGS[#HANDLER_PRINT_LOGS + 1] = line
end

function rt.printed_text()
  return table.concat(HANDLER_PRINT_LOGS, "\n")
end
