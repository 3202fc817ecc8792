-- Manifests are read from the store alone; here they only made every look at the table long. The column stays, empty:
-- taking it out would let SQLite write the text of the table anew, by which a catalog is known.
UPDATE snapshots SET manifest = x'';
