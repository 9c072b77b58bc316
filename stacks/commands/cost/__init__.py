"""What a stack costs in a month, estimated from a preview and a file of prices; nothing is asked of AWS."""
