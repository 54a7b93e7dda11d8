-- Eval: the owner runs source in the process. What it returns is printed; nothing, and nil, are not, as in aos.
local rt = ...

-- Returns true, or false and the error's text.
function rt.evaluate_source(source, name)
  local chunk, problem = load("return " .. source, name, "t", _G)
  if not chunk then chunk, problem = load(source, name, "t", _G) end
  if not chunk then return false, problem end
  local value = chunk()
  return true, value
end

local function eval(msg)
  local ok, value = rt.evaluate_source(tostring(msg.Data or ""), "aos")
  if not ok then error(value, 0) end
  if value ~= nil then print(value) end
end

function rt.is_eval(msg)
  return msg.Action == "Eval" and msg.From == Owner
end

rt.eval = eval
rt.provide("eval", function() return eval end)
