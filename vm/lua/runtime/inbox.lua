-- Inbox and prompt: where messages go that no handler takes, and how the console greets.
local rt = ...

-- The oldest message leaves when a newer one does not fit.
MAXINBOX = 10000
Inbox = {}

local function short(text) return #text > 9 and (text:sub(1, 3) .. "..." .. text:sub(-3)) or text end

function rt.default_handler(msg)
  while #Inbox >= MAXINBOX do table.remove(Inbox, 1) end
  Inbox[#Inbox + 1] = msg
  local text = Colors.gray .. "New Message From " .. Colors.green .. short(tostring(msg.From)) .. Colors.gray .. ": "
  if msg.Action then
    text = text .. "Action = " .. Colors.blue .. tostring(msg.Action):sub(1, 20)
  else
    text = text .. "Data = " .. Colors.blue .. tostring(msg.Data or ""):sub(1, 20)
  end
  print(text .. Colors.reset)
end

function Prompt()
  return Colors.green .. tostring(Name) .. Colors.gray .. "@" .. Colors.blue .. "aos-" .. ao._version .. Colors.gray .. "[Inbox:" .. Colors.red .. #Inbox .. Colors.gray
    .. "]" .. Colors.reset .. "> "
end

-- A prompt that the program replaced may be anything, also an error.
function rt.prompt()
  local ok, text = pcall(function() return tostring(Prompt()) end)
  return ok and text or "> "
end
