-- A process that speaks what `@permaweb/aos` 1.2.18 speaks: messages tagged function=eval with the line in `expression`, answers in
-- Output.data.output and Output.data.prompt. Later versions send Action=Eval instead, which the default module understands.
local evaluated = 0

function compute(base, request)
  local message = request.body
  if message["function"] ~= "eval" then return base end
  if message.owner ~= base.process.owner then
    base.results = { output = { data = { output = "only the owner evaluates", prompt = "aos" } } }
    return base
  end
  local chunk, problem = load("return " .. message.expression, "=aos")
  if not chunk then chunk, problem = load(message.expression, "=aos") end
  if not chunk then error(problem, 0) end
  local value = chunk()
  evaluated = evaluated + 1
  base.results = { output = { data = { output = tostring(value), prompt = "aos[" .. evaluated .. "]" } } }
  return base
end
