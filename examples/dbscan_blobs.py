"""Blobs, clustered by DBSCAN, which needs no number of clusters and leaves outliers out: dbscan_blobs.png."""

from sklearn.datasets import make_blobs

from gpuclust import DBSCAN
from gpuclust.metrics import adjusted_rand_score
from gpuclust.report import plot_clusters

X, truth = make_blobs(2000, centers=5, cluster_std=0.8, random_state=3)

dbscan = DBSCAN(eps=0.6, min_samples=10).fit(X)

print(f"{dbscan.labels_.max() + 1} clusters, {(dbscan.labels_ == -1).sum()} outliers")
print(f"ARI {adjusted_rand_score(truth, dbscan.labels_):.3f}")
plot_clusters(X, "dbscan_blobs.png", labels=dbscan.labels_, title="DBSCAN (grey: outliers)")
