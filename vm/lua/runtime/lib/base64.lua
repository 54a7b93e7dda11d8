-- base64, standard and URL alphabets. encode(text [, encoder]) pads; url_encode does not. Decoders take padded and unpadded text.
local base64 = {}

local function alphabet(last)
  local encoder, decoder = {}, {}
  local letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789" .. last
  for i = 1, 64 do
    local letter = letters:sub(i, i)
    encoder[i - 1] = letter
    decoder[letter:byte()] = i - 1
  end
  return encoder, decoder
end

local standard, from_standard = alphabet("+/")
local url, from_url = alphabet("-_")

function base64.makeencoder(c62, c63) return (alphabet((c62 or "+") .. (c63 or "/"))) end
function base64.makedecoder(c62, c63) return (select(2, alphabet((c62 or "+") .. (c63 or "/")))) end

local function encode(text, letters, padded)
  local parts = {}
  for i = 1, #text - 2, 3 do
    local a, b, c = text:byte(i, i + 2)
    local bits = a << 16 | b << 8 | c
    parts[#parts + 1] = letters[bits >> 18] .. letters[bits >> 12 & 63] .. letters[bits >> 6 & 63] .. letters[bits & 63]
  end
  local rest = #text % 3
  if rest == 1 then
    local bits = text:byte(-1) << 16
    parts[#parts + 1] = letters[bits >> 18] .. letters[bits >> 12 & 63] .. (padded and "==" or "")
  elseif rest == 2 then
    local a, b = text:byte(-2, -1)
    local bits = a << 16 | b << 8
    parts[#parts + 1] = letters[bits >> 18] .. letters[bits >> 12 & 63] .. letters[bits >> 6 & 63] .. (padded and "=" or "")
  end
  return table.concat(parts)
end

local function decode(text, values)
  local parts, bits, count = {}, 0, 0
  text = text:gsub("[%s=]", "")
  for i = 1, #text do
    local value = values[text:byte(i)]
    if not value then error("base64: invalid character at " .. i, 3) end
    bits, count = bits << 6 | value, count + 6
    if count >= 8 then
      count = count - 8
      parts[#parts + 1] = string.char(bits >> count & 255)
      bits = bits & (1 << count) - 1
    end
  end
  return table.concat(parts)
end

function base64.encode(text, encoder) return encode(text, encoder or standard, true) end
function base64.decode(text, decoder) return decode(text, decoder or from_standard) end
function base64.url_encode(text) return encode(text, url, false) end
function base64.url_decode(text) return decode(text, from_url) end

return base64
