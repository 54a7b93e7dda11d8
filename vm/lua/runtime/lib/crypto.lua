-- .crypto: digests. Each answers an object with asBytes(), asString() and asHex(), as aos's do; the hashing itself is the host's.
local rt = ...
local native = rt.native

-- Numbers of src/lua/digest.rs.
local KINDS = { sha2_256 = 1, sha2_512 = 2, sha2_384 = 3, sha3_256 = 4, sha3_512 = 5, keccak256 = 6, keccak512 = 7, blake3 = 8 }
local BLOCK = { sha2_256 = 64, sha2_512 = 128, sha2_384 = 128, sha3_256 = 136, sha3_512 = 72, keccak256 = 136, keccak512 = 72, blake3 = 64 }

local function hex(text)
  return (text:gsub(".", function(c) return ("%02x"):format(c:byte()) end))
end

local function from_hex(text)
  if #text % 2 == 1 or text:find("%X") then error("crypto: not hexadecimal", 2) end
  return (text:gsub("%x%x", function(pair) return string.char(tonumber(pair, 16)) end))
end

local function wrap(raw)
  return {
    asString = function() return raw end,
    asHex = function() return hex(raw) end,
    asBytes = function() return { raw:byte(1, -1) } end,
  }
end

local digest = {}
for name, kind in next, KINDS do
  digest[name] = function(data) return wrap(native.digest(kind, data)) end
end

-- HMAC (RFC 2104) over any of the digests: hmac("sha2_256", key, data).
local function hmac(name, key, data)
  local kind, block = KINDS[name], BLOCK[name]
  if not kind then error("crypto: no digest named '" .. tostring(name) .. "'", 2) end
  if #key > block then key = native.digest(kind, key) end
  key = key .. ("\0"):rep(block - #key)
  local function pad(with) return (key:gsub(".", function(c) return string.char(c:byte() ~ with) end)) end
  return wrap(native.digest(kind, pad(0x5c) .. native.digest(kind, pad(0x36) .. data)))
end

rt.provide("crypto.digest", digest)

return { _version = "0.0.1", digest = digest, mac = { hmac = hmac }, utils = { hex = { toHex = hex, fromHex = from_hex } } }
